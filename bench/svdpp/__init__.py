"""Training of SVD++ on ratings: penchant and Surprise."""
