//! What the targets drive: the same checks that `tests/parsers.rs` drives with damaged files.

#[path = "../../tests/common/allocations.rs"]
mod allocations;
#[path = "../../tests/common/files.rs"]
pub mod files;
#[path = "../../examples/support/mod.rs"]
mod support;
