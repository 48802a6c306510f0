//! What is left to a card that can do more than carry frames, and what is believed of it.
//!
//! - `sending`: scripts of segments, and how the card got them
//! - `receiving`: long frames, and checksums that somebody else has looked at

mod receiving;
mod sending;
