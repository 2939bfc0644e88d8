//! Varsig v1: self-describing signature headers, signing and verification.
