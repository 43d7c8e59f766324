//! Writing of pictures and pages.

use crate::base::{Error, ErrorKind, Result, write_whole};
use std::path::Path;

/// Writes a file in one piece.
///
/// # Errors
/// [`ErrorKind::File`] where the system refuses it.
pub fn write(path: &Path, what: &str, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes).map_err(|error| {
        let message = format!("the {what} could not be written to {}: {error}", path.display());
        Error::new(ErrorKind::File, message).caused_by(error)
    })
}

/// What a file's name ends with, in lower case.
pub fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// A file name whose ending says nothing that is known.
pub fn unknown_ending(path: &Path, known: &str) -> Error {
    let message = format!("the name {} must end with {known}: it says what is written", path.display());
    Error::new(ErrorKind::Argument, message)
}

/// Writes a picture as what the file's name ends with: `.svg` or `.png`.
pub fn write_picture(path: &Path, what: &str, svg: &str) -> Result<()> {
    match ending(path).as_str() {
        "svg" => write(path, what, svg.as_bytes()),
        "png" => write(path, what, &png(svg)?),
        _ => Err(unknown_ending(path, "`.svg` or `.png`")),
    }
}

/// The pixels of a picture, twice as many in each direction as its size says, so that small texts stay sharp.
#[cfg(feature = "plots")]
fn png(svg: &str) -> Result<Vec<u8>> {
    use resvg::{tiny_skia, usvg};
    /// A sans-serif font with the characters of European languages and mathematics; see `assets/sans.md`.
    static FONT: &[u8] = include_bytes!("../../assets/sans.ttf");
    const SCALE: f32 = 2.0;
    /// Pixels of one direction.
    const MOST: f32 = 16_384.0;

    let failed = |what: String| {
        Error::new(ErrorKind::Limit, format!("the picture cannot become a PNG: {what}. Save it as `.svg`"))
    };
    // Only the font that is part of this library: pictures are the same on every machine.
    let mut options = usvg::Options { font_family: "DejaVu Sans".into(), ..usvg::Options::default() };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    fonts.set_monospace_family("DejaVu Sans");
    fonts.set_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let (width, height) = (tree.size().width() * SCALE, tree.size().height() * SCALE);
    let too_large = || failed(format!("{width} x {height} pixels are more than {MOST} in one direction"));
    if width > MOST || height > MOST {
        return Err(too_large());
    }
    let mut pixels = tiny_skia::Pixmap::new(width.ceil() as u32, height.ceil() as u32).ok_or_else(too_large)?;
    pixels.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}

#[cfg(not(feature = "plots"))]
fn png(_svg: &str) -> Result<Vec<u8>> {
    Err(Error::new(
        ErrorKind::Argument,
        "pictures become `.png` only with the feature `plots` of retrograd: build with it, or save as `.svg`",
    ))
}
