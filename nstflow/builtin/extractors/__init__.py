"""The networks that compute the features of an image."""
