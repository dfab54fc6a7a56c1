"""From a recipe file to validated stages."""
