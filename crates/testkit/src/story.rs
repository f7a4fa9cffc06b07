//! What a person does in the lab, step by step.
