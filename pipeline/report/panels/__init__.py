"""The page's panels, one file each: what it wants of which stages, what it counts, what it shows. build.py lists them."""
