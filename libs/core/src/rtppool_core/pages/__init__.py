"""Static files of the pages in a browser, and the headers that bind a page to them.

Every file comes from a package of the program itself, so a page works on a node without any other network.
The policy allows no inline script and no inline style.
"""
