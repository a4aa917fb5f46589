import math

import pytest
import torch

from stages.train.model.roi import roi_weights


def pooled(grid_HW: torch.Tensor, box: tuple[float, float, float, float]) -> float:
    """RoIAlign of one box on one channel; the box in cells of the grid."""
    height, width = grid_HW.shape
    shares = torch.tensor([[[box[0] / width, box[1] / height, box[2] / width, box[3] / height]]])
    return float((roi_weights(shares, height, width)[0, 0] * grid_HW.flatten()).sum())


def sampled(grid_HW: torch.Tensor, box: tuple[float, float, float, float]) -> float:
    """The definition, sample by sample: one bilinear sample for each begun cell, at the middles of equal parts, borders held."""
    height, width = grid_HW.shape
    num_y, num_x = math.ceil(box[3] - box[1]), math.ceil(box[2] - box[0])
    total = 0.0
    for i in range(num_y):
        for j in range(num_x):
            y = min(max(box[1] - 0.5 + (i + 0.5) * (box[3] - box[1]) / num_y, 0.0), height - 1.0)
            x = min(max(box[0] - 0.5 + (j + 0.5) * (box[2] - box[0]) / num_x, 0.0), width - 1.0)
            top, left = min(int(y), height - 2), min(int(x), width - 2)
            for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
                for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
                    total += share_y * share_x * float(grid_HW[row, column])
    return total / (num_y * num_x)


@pytest.mark.parametrize("box", [(0.0, 0.0, 7.0, 5.0), (1.2, 0.3, 4.9, 4.1), (6.9, 4.9, 7.0, 5.0), (0.0, 2.0, 0.01, 2.01)])
def test_a_constant_map_pools_to_its_constant(box: tuple[float, float, float, float]) -> None:
    assert pooled(torch.full((5, 7), 3.0), box) == pytest.approx(3.0, abs=1e-5)


def test_one_cell_pools_to_its_own_value() -> None:
    grid_HW = torch.arange(12.0).view(3, 4)
    assert pooled(grid_HW, (2.0, 1.0, 3.0, 2.0)) == pytest.approx(6.0)


def test_a_ramp_pools_to_its_value_at_the_middle_of_the_box() -> None:
    x, y = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy")
    # cell i's value stands at i + 0.5 in box coordinates
    assert pooled(10 * y + x, (1.5, 2.0, 4.7, 6.3)) == pytest.approx(10 * (4.15 - 0.5) + (3.1 - 0.5), abs=1e-4)


def test_half_a_cell_beside_the_border_reads_the_border_cell() -> None:
    assert pooled(torch.tensor([[5.0, 9.0], [5.0, 9.0]]), (0.0, 0.0, 0.5, 2.0)) == pytest.approx(5.0)


def test_arbitrary_boxes_equal_the_definition() -> None:
    generator = torch.Generator().manual_seed(3)
    grid_HW = torch.randn(6, 9, generator=generator)
    for _ in range(200):
        x0, x1 = sorted((torch.rand(2, generator=generator) * 9).tolist())
        y0, y1 = sorted((torch.rand(2, generator=generator) * 6).tolist())
        assert pooled(grid_HW, (x0, y0, x1, y1)) == pytest.approx(sampled(grid_HW, (x0, y0, x1, y1)), abs=1e-4)


def test_arbitrary_boxes_equal_torchvisions_roi_align() -> None:
    """Runs where torchvision loads: in the environment of requirements/open-clip.txt."""
    ops = pytest.importorskip("torchvision.ops")
    generator = torch.Generator().manual_seed(5)
    height, width, num_boxes = 14, 10, 500
    grid_1DHW = torch.randn(1, 8, height, width, generator=generator)
    corners_R22 = torch.rand(num_boxes, 2, 2, generator=generator).sort(1).values
    boxes_R4 = corners_R22.flatten(1)
    cells_R4 = boxes_R4 * torch.tensor([width, height, width, height])
    theirs_RD = ops.roi_align(grid_1DHW, [cells_R4], 1, 1.0, -1, aligned=True).flatten(1)
    ours_RD = roi_weights(boxes_R4[None], height, width)[0] @ grid_1DHW[0].flatten(1).T
    torch.testing.assert_close(ours_RD, theirs_RD, atol=1e-5, rtol=0)


def test_a_box_without_area_pools_to_zero_and_not_to_nan() -> None:
    for box in ((2.0, 2.0, 2.0, 2.0), (3.0, 1.0, 3.0, 4.0), (0.0, 0.0, 0.0, 0.0)):
        assert pooled(torch.ones(5, 5), box) == 0.0
