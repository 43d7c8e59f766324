//! Datasets, loaders, and the readers of files, with files as they should not be.

mod arrays;
mod augment;
#[cfg(feature = "images")]
mod images;
mod loader;
#[cfg(feature = "parquet")]
mod parquet;
mod preprocess;
mod tables;

/// Asserts that a result is an error whose text holds all these parts.
#[track_caller]
fn refused<T>(result: retrograd::Result<T>, parts: &[&str]) {
    let Err(error) = result else { panic!("it should have been refused, for: {parts:?}") };
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}
