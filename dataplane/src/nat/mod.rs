//! How must the headers change so that a frame reaches another destination, or a refusal its sender?
