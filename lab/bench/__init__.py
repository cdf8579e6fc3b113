"""What `make bench` measures, one file for each measurement; `contents` lists them."""
