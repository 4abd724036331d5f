"""Back ends: from a scheduled design to the texts of a build folder."""
