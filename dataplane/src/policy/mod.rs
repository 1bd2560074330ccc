//! What does the operator want done with this flow?
