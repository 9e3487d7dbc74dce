//! In which encoding a file is written, and reading it as UTF-8.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

const CHUNK: usize = 64 * 1024;

/// Finds the encoding: a byte order mark says it, zeros show UTF-16; else it is UTF-8 if all of the file can be read as
/// such, and Windows-1252 if not.
pub(super) fn detect(file: &mut File) -> io::Result<&'static Encoding> {
    file.seek(SeekFrom::Start(0))?;
    let mut sample = Vec::with_capacity(CHUNK);
    file.take(CHUNK as u64).read_to_end(&mut sample)?;
    if let Some((encoding, _)) = Encoding::for_bom(&sample) {
        return Ok(encoding);
    }
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if (even + odd) * 4 > sample.len() {
        return Ok(if even > odd { UTF_16BE } else { UTF_16LE });
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(if is_utf8(file)? { UTF_8 } else { WINDOWS_1252 })
}

fn is_utf8(mut file: impl Read) -> io::Result<bool> {
    let mut bytes = Vec::with_capacity(CHUNK);
    loop {
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
        match str::from_utf8(&bytes) {
            Ok(_) => bytes.clear(),
            // A character that goes on in the next chunk.
            Err(error) if error.error_len().is_none() && read > 0 => {
                bytes.drain(..error.valid_up_to());
            }
            Err(_) => return Ok(false),
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads a file as UTF-8 without a byte order mark; its last line ends as the others do.
pub(super) struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    given: usize,
    ended: bool,
    line_ended: bool,
}

impl<R: Read> Decoded<R> {
    pub(super) fn new(inner: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_with_bom_removal();
        Self {
            inner,
            decoder,
            raw: Vec::new(),
            text: Vec::new(),
            given: 0,
            ended: false,
            line_ended: true,
        }
    }

    fn decode_more(&mut self) -> io::Result<()> {
        self.raw.clear();
        let read = self.inner.by_ref().take(CHUNK as u64).read_to_end(&mut self.raw)?;
        self.ended = read == 0;
        let room = self.decoder.max_utf8_buffer_length(self.raw.len());
        let room = room.ok_or_else(|| io::Error::other("a chunk of text is too large"))?;
        self.text.resize(room, 0);
        let (_, _, written, _) = self.decoder.decode_to_utf8(&self.raw, &mut self.text, self.ended);
        self.text.truncate(written);
        self.given = 0;
        if let Some(last) = self.text.last() {
            self.line_ended = *last == b'\n';
        }
        if self.ended && !self.line_ended {
            self.text.push(b'\n');
            self.line_ended = true;
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended {
            self.decode_more()?;
        }
        let rest = self.text.get(self.given..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8]) -> (&'static str, String) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let encoding = detect(&mut file).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        Decoded::new(file, encoding).read_to_string(&mut text).unwrap();
        (encoding.name(), text)
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn the_encodings_that_tools_export() {
        let text = "Währung;Name\n€;Jürgen\n";
        let cases = [
            (text.as_bytes().to_vec(), "UTF-8"),
            ([b"\xef\xbb\xbf", text.as_bytes()].concat(), "UTF-8"),
            (utf16(&format!("\u{feff}{text}"), u16::to_le_bytes), "UTF-16LE"),
            (utf16(&format!("\u{feff}{text}"), u16::to_be_bytes), "UTF-16BE"),
            (utf16(text, u16::to_le_bytes), "UTF-16LE"),
            (utf16(text, u16::to_be_bytes), "UTF-16BE"),
            (WINDOWS_1252.encode(text).0.into_owned(), "windows-1252"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(&bytes), (expected, text.to_owned()));
        }
        assert_eq!(read(b""), ("UTF-8", String::new()));
    }

    #[test]
    fn the_last_byte_of_a_large_file_counts() {
        // Characters lie across the chunks.
        let text = format!("x{}", "ä".repeat(CHUNK));
        assert_eq!(read(text.as_bytes()), ("UTF-8", format!("{text}\n")));
        let other = [text.as_bytes(), b"\xfc"].concat();
        assert_eq!(read(&other).0, "windows-1252");
        let cut = &text.as_bytes()[..text.len() - 1];
        assert_eq!(read(cut).0, "windows-1252");
    }
}
