//! The chapters of the guide: every block of code in them is a test of `cargo test --doc`.

/// One module per chapter, so that a failing block is told with its chapter.
macro_rules! chapters {
    ($($name:ident)*) => {
        $(
            #[doc = include_str!(concat!("../docs/src/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

// Adding a chapter: its file in `docs/src`, a line in `docs/src/SUMMARY.md`, and a line here.
chapters! {
    introduction
    first_network
    how_a_step_is_made
    data
    training
    checkpoints
    seeing
    adding_an_op
    custom_kernel
    choosing_a_device
    performance
    precision
    debugging
    from_pytorch
    from_burn
    limits_and_errors
}
