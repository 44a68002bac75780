//! Small programs for unit tests.
