//! QR codes: black on white, error correction M, with the quiet zone of four modules that readers need.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder, QRCode};
use png::{BitDepth, ColorType, Encoder};

use crate::error::{Error, Result};

/// Width where the caller names none, in pixels.
const DEFAULT_SIZE: u32 = 512;

/// Modules left white on every side.
const QUIET: usize = 4;

/// What a picture is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    Svg,
    Png,
}

impl Image {
    /// The picture's media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
        }
    }
}

/// Width and height of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(u32);

impl Size {
    /// 0 is 512.
    ///
    /// # Errors
    /// Anything else below 64 or above 4096.
    pub(crate) fn read(size: i32) -> Result<Self> {
        match u32::try_from(size) {
            Ok(0) => Ok(Self(DEFAULT_SIZE)),
            Ok(size @ 64..=4096) => Ok(Self(size)),
            _ => Err(Error::invalid("size", "must be 0 or from 64 to 4096")),
        }
    }
}

/// Draws a text.
///
/// # Errors
/// A size with less than one pixel for each module.
pub(crate) fn draw(text: &str, image: Image, Size(size): Size) -> Result<Vec<u8>> {
    let code =
        QRBuilder::new(text).ecl(ECL::M).build().map_err(|error| Error::Picture(error.into()))?;
    match image {
        Image::Svg => Ok(svg(&code, size).into_bytes()),
        Image::Png => png(&code, size),
    }
}

/// Runs of dark modules, as one path in units of a module.
fn svg(code: &QRCode, size: u32) -> String {
    let width = code.size + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size {
        let mut x = 0;
        for run in code[y].chunk_by(|a, b| a.value() == b.value()) {
            if run.first().is_some_and(|module| module.value()) {
                let (left, top, length) = (x + QUIET, y + QUIET, run.len());
                // Writing to a String cannot fail.
                let _ = write!(path, "M{left} {top}h{length}v1h-{length}z");
            }
            x += run.len();
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" \
         viewBox=\"0 0 {width} {width}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{width}v{width}H0z\"/><path d=\"{path}\"/></svg>\n"
    )
}

/// Every module is the same whole number of pixels wide; what is left over widens the quiet zone.
fn png(code: &QRCode, size: u32) -> Result<Vec<u8>> {
    let modules = code.size + 2 * QUIET;
    let pixels = size as usize;
    let scale = pixels / modules;
    if scale == 0 {
        let problem = format!("must be at least {modules} for a link this long");
        return Err(Error::invalid("size", problem));
    }
    let margin = (pixels - code.size * scale) / 2;
    let stride = pixels.div_ceil(8);
    let mut data = Vec::with_capacity(stride * pixels);
    let white = vec![0xff_u8; stride];
    for _ in 0..margin {
        data.extend_from_slice(&white);
    }
    for y in 0..code.size {
        let mut row = white.clone();
        for (x, module) in code[y].iter().enumerate() {
            if module.value() {
                for pixel in margin + x * scale..margin + (x + 1) * scale {
                    row[pixel / 8] &= !(0x80 >> (pixel % 8));
                }
            }
        }
        for _ in 0..scale {
            data.extend_from_slice(&row);
        }
    }
    data.resize(stride * pixels, 0xff);

    let mut image = Vec::new();
    let mut encoder = Encoder::new(&mut image, size, size);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    // Rows repeat: subtracted from the one above, most of them are nothing.
    encoder.set_filter(png::Filter::Up);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&data))
        .map_err(|error| Error::Picture(error.into()))?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINK: &str =
        "https://go.example.com/launch/p/max/buy/AQcBk1orfI1-n4obLD1OX2BxjGnVjuS0QnAupqUEghiVUQ";

    fn pixels(image: &[u8]) -> (usize, Vec<bool>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (ColorType::Grayscale, BitDepth::One));
        assert_eq!(info.width, info.height);
        let width = info.width as usize;
        let dark = |x: usize, y: usize| data[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0;
        (width, (0..width * width).map(|at| dark(at % width, at / width)).collect())
    }

    fn decode(image: &[u8]) -> String {
        let (width, dark) = pixels(image);
        let mut image =
            rqrr::PreparedImage::prepare_from_bitmap(width, width, |x, y| dark[y * width + x]);
        let grids = image.detect_grids();
        let (meta, text) = grids.first().expect("a code").decode().unwrap();
        // In the format's own bits, M is 0.
        assert_eq!(meta.ecc_level, 0);
        text
    }

    #[test]
    fn a_reader_reads_the_link_at_every_size() {
        for size in [64, 65, 100, 512, 1000] {
            let image = draw(LINK, Image::Png, Size(size)).unwrap();
            assert_eq!(pixels(&image).0, size as usize);
            assert_eq!(decode(&image), LINK, "{size}");
        }
        let largest = draw(LINK, Image::Png, Size(4096)).unwrap();
        assert_eq!(pixels(&largest).0, 4096);
    }

    #[test]
    fn the_quiet_zone_is_part_of_the_picture() {
        let code = QRBuilder::new(LINK).ecl(ECL::M).build().unwrap();
        for size in [64_u32, 100, 513] {
            let (width, dark) = pixels(&draw(LINK, Image::Png, Size(size)).unwrap());
            let quiet = QUIET * (width / (code.size + 2 * QUIET));
            for at in (0..width * width).filter(|at| dark[*at]) {
                let (x, y) = (at % width, at / width);
                assert!([x, y].iter().all(|at| (quiet..width - quiet).contains(at)), "{x} {y}");
            }
        }
    }

    #[test]
    fn svg_draws_the_same_modules() {
        let code = QRBuilder::new(LINK).ecl(ECL::M).build().unwrap();
        let svg = String::from_utf8(draw(LINK, Image::Svg, Size(300)).unwrap()).unwrap();
        let width = code.size + 2 * QUIET;
        assert!(svg.contains("width=\"300\" height=\"300\""), "{svg}");
        assert!(svg.contains(&format!("viewBox=\"0 0 {width} {width}\"")), "{svg}");
        let mut drawn = vec![false; width * width];
        let path = svg.rsplit_once("d=\"").unwrap().1.split_once('"').unwrap().0;
        for run in path.split_terminator('z') {
            let (from, rest) = run.trim_start_matches('M').split_once('h').unwrap();
            let (x, y) = from.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = rest.split_once('v').unwrap().0.parse().unwrap();
            drawn[y * width + x..][..length].fill(true);
        }
        for (at, dark) in drawn.into_iter().enumerate() {
            let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.size);
            let expected =
                inside(at % width).zip(inside(at / width)).is_some_and(|(x, y)| code[y][x].value());
            assert_eq!(dark, expected);
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert_eq!(Size::read(0).unwrap(), Size(512));
        assert_eq!(Size::read(64).unwrap(), Size(64));
        assert_eq!(Size::read(4096).unwrap(), Size(4096));
        for size in [-1, 1, 63, 4097, i32::MIN, i32::MAX] {
            let error = Size::read(size).unwrap_err();
            assert_eq!(error.to_string(), "size: must be 0 or from 64 to 4096");
        }
        let long = "https://go.example.com/".to_owned() + &"x".repeat(700);
        let error = draw(&long, Image::Png, Size(64)).unwrap_err().to_string();
        assert!(error.starts_with("size: must be at least"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_text_that_fits_a_link_is_drawn(text in ".{1,200}", size in 300_i32..600) {
            let size = Size::read(size).unwrap();
            prop_assert_eq!(decode(&draw(&text, Image::Png, size).unwrap()), text);
        }
    }
}
