/// A file of scalar WGSL functions that kernels include.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// The file's name under `shaders/lib`, without its ending.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
    /// The libraries whose functions it calls.
    pub needs: &'static [&'static Library],
}

macro_rules! library {
    ($constant:ident, $name:literal $(, $needs:ident)*) => {
        #[doc = concat!("`shaders/lib/", $name, ".wgsl`.")]
        pub static $constant: Library = Library {
            name: $name,
            source: include_str!(concat!("../../shaders/lib/", $name, ".wgsl")),
            needs: &[$(&$needs),*],
        };
    };
}

/// The shared WGSL functions, one file per subject.
pub mod libraries {
    use super::Library;

    library!(NUMBERS, "numbers");
    library!(EXPONENTIAL, "exponential");
    library!(LOGARITHM, "logarithm", NUMBERS);
    library!(HYPERBOLIC, "hyperbolic", EXPONENTIAL);
    library!(ERROR_FUNCTION, "error_function", EXPONENTIAL);
    library!(TRIGONOMETRY, "trigonometry", NUMBERS);
    library!(POWER, "power", EXPONENTIAL, LOGARITHM, NUMBERS);
    library!(COMPARISON, "comparison", NUMBERS);
    library!(ORDERING, "ordering", NUMBERS);
    library!(ACTIVATION, "activation", COMPARISON, NUMBERS, EXPONENTIAL, LOGARITHM, HYPERBOLIC);
    library!(RANDOM, "random");
    library!(ROWS, "rows", COMPARISON);
    library!(STEP, "step");

    /// Every library, each after those that it needs.
    pub static ALL: &[&Library] = &[
        &NUMBERS,
        &EXPONENTIAL,
        &LOGARITHM,
        &HYPERBOLIC,
        &ERROR_FUNCTION,
        &TRIGONOMETRY,
        &POWER,
        &COMPARISON,
        &ORDERING,
        &ACTIVATION,
        &RANDOM,
        &ROWS,
        &STEP,
    ];
}
