"""Training of SVD and SVD++ on ratings: penchant and Surprise."""
