"""The slim contrastive trainer: FG-CLIP's two stages on exported shards. Imports schemas alone; knows no Ray and no pipeline."""
