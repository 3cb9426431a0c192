"""How long a server with a large artifact takes to start, and what a second process adds."""
