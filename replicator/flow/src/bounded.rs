//! Files that people write, read whole; but only if they are as small as such files are.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// The most bytes that any configuration, secret or certificate has. What is larger was named by mistake.
const MAX: u64 = 4 << 20;

/// The whole content of a file of at most 4 MiB; a larger one is refused before it is in memory.
///
/// # Errors
/// It cannot be read, or it is larger.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path)?;
    let too_large = |size: String| {
        let reason = format!("it has {size}, and at most {MAX} are read; is it the right file?");
        Error::new(ErrorKind::FileTooLarge, reason)
    };
    let told = file.metadata()?.len();
    if told > MAX {
        return Err(too_large(format!("{told} bytes")));
    }
    // Pipes and devices do not tell.
    let mut content = Vec::new();
    file.take(MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX {
        return Err(too_large(format!("more than {MAX} bytes")));
    }
    Ok(content)
}

/// The same, as text.
///
/// # Errors
/// It cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path)?)
        .map_err(|_not_text| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_refused_and_what_is_empty_is_read() {
        let refused = read(Path::new("/dev/zero")).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::FileTooLarge));
        assert_eq!(read(Path::new("/dev/null")).ok(), Some(Vec::new()));
    }
}
