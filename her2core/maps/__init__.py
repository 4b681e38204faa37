"""Where did the network look, and does the answer hold? Maps on the seam, and pictures of them."""
