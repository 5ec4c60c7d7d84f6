"""`tiny`: the base model that ships inside the wheel, and the two scripts that make it (`corpus.py`, `build.py`)."""
