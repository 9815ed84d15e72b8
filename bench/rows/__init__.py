"""One module for each row of the plan: what is measured, and how."""
