"""The instant painter: a picture in one pass of a network, any style, region by region."""
