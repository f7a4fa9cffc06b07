//! a whole company on one machine: the lab of real parts, and the story played in it
