"""Prod2Vec beside gensim's Word2Vec."""
