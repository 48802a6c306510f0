//! One function per fuzz target.

pub mod calls;
pub mod frames;
mod input;
mod packet;
