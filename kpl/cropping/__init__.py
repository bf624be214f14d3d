"""From a picture to a store of crops: detectors, orientation, recipes, cutting, and the pieces that survive a kill."""
