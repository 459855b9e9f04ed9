//! What becomes of the answers of brokers on their way to a client.
//!
//! Kafka's answers are frames: four bytes of length, then so many bytes. Each connection is followed frame by frame, so
//! that a fault hits the middle of one and not by chance its edge.

/// What becomes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// They arrive as they were sent.
    Whole,
    /// From the next frame on, other bytes arrive in their place.
    Noise,
    /// A byte of each order of a [`crate::Workload`] is changed, uncompressed ones that is: the checksum of its batch is
    /// wrong, and everything else in the frame is as it was.
    Damaged,
    /// The next frame stops half way; the connection stays open, and nothing more comes until this ends.
    Stalled,
    /// The next frame ends half way, and the connection with it.
    CutShort,
}

/// Frames smaller than this are let through where one is to be hit in its middle.
const SMALL: usize = 16;
/// What an order begins with; the byte behind it is the one that is changed.
const ORDER: &[u8] = b"{\"id\":\"";

/// Where a connection stands among its frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Of the length of the frame that has begun.
    length: Vec<u8>,
    /// The size of the present frame, and how much of it has passed.
    size: usize,
    passed: usize,
    /// How much of [`ORDER`] has just passed.
    matched: usize,
    /// The connection has turned to noise.
    noise: Option<u32>,
}

/// What to do with a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Pass it on, as it is now.
    Pass,
    /// Pass on so much of it; then wait for better times.
    Stall(usize),
    /// Pass on so much of it; then close.
    Close(usize),
}

impl Frames {
    /// Follows a chunk, changes it where that is asked for, and says what to do with it.
    pub(crate) fn follow(&mut self, chunk: &mut [u8], answers: Answers) -> Fate {
        let mut seed = self.noise;
        for (at, byte) in chunk.iter_mut().enumerate() {
            if answers == Answers::Noise && seed.is_none() && self.is_between() {
                seed = Some(0x9E37_79B9);
            }
            let before = *byte;
            if let Some(noise) = &mut seed {
                *byte = next(noise);
            } else if answers == Answers::Damaged && self.matched == ORDER.len() {
                *byte ^= 0x55;
            }
            self.step(before);
            self.matched = match ORDER.get(self.matched) {
                Some(wanted) if *wanted == before => self.matched + 1,
                Some(_) | None => usize::from(ORDER.first() == Some(&before)),
            };
            if self.size >= SMALL && self.passed == self.size / 2 {
                match answers {
                    Answers::Stalled => return Fate::Stall(at + 1),
                    Answers::CutShort => return Fate::Close(at + 1),
                    Answers::Whole | Answers::Noise | Answers::Damaged => {}
                }
            }
        }
        self.noise = seed;
        Fate::Pass
    }

    fn is_between(&self) -> bool {
        self.size == self.passed && self.length.is_empty()
    }

    fn step(&mut self, byte: u8) {
        if self.passed < self.size {
            self.passed += 1;
            return;
        }
        self.length.push(byte);
        if let Ok(length) = <[u8; 4]>::try_from(self.length.as_slice()) {
            self.length.clear();
            self.passed = 0;
            self.size = u32::from_be_bytes(length) as usize;
        }
    }
}

fn next(seed: &mut u32) -> u8 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    (*seed >> 24) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(sizes: &[u32]) -> Vec<u8> {
        let frame = |size: &u32| {
            let mut bytes = size.to_be_bytes().to_vec();
            let mut body = ORDER.to_vec();
            body.resize(*size as usize, 7);
            bytes.extend(body);
            bytes
        };
        sizes.iter().flat_map(frame).collect()
    }

    #[test]
    fn each_fault_hits_the_middle_of_a_frame_however_it_is_cut_into_chunks() {
        for cut in [1, 3, 17, 10_000] {
            let original = frames(&[12, 6_000, 20]);
            let pass = |answers| {
                let (mut frames, mut out) = (Frames::default(), Vec::new());
                for chunk in original.chunks(cut) {
                    let mut chunk = chunk.to_vec();
                    match frames.follow(&mut chunk, answers) {
                        Fate::Pass => out.extend(chunk),
                        Fate::Stall(at) | Fate::Close(at) => {
                            out.extend(chunk.get(..at).unwrap_or_default());
                            return out;
                        }
                    }
                }
                out
            };
            assert_eq!(pass(Answers::Whole), original);
            // The first frame is too small; the second one has its length and half of its bytes.
            for answers in [Answers::Stalled, Answers::CutShort] {
                assert_eq!(pass(answers).len(), 16 + 4 + 3_000, "{cut}");
            }
            let damaged = pass(Answers::Damaged);
            let changed = damaged.iter().zip(&original).filter(|(a, b)| a != b);
            assert_eq!(damaged.len(), original.len());
            assert_eq!(changed.count(), 3, "one in each frame");
            let noise = pass(Answers::Noise);
            assert_eq!(noise.len(), original.len());
            assert_ne!(noise.get(..4), original.get(..4));
        }
    }
}
