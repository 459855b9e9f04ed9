//! The directory of chunks: golden bytes, round trips, and what is refused.

use std::error::Error;

use proptest::prelude::*;
use understudy_domain::{
    ChunkStart, DecodeError, Format, MapKey, MapRecord, PAGE_CHUNKS, Page, SourceOffset,
    TargetOffset, TopicPartition,
};

type TestResult = Result<(), Box<dyn Error>>;

const fn start(source: i64, target: i64, at: i64) -> ChunkStart {
    ChunkStart {
        source: SourceOffset::new(source),
        target: TargetOffset::new(target),
        at,
    }
}

#[test]
fn the_directory_format_is_fixed() -> TestResult {
    let record = MapRecord::Directory(Page {
        page: 2,
        kept: 3,
        older: vec![start(10, 4, 40), start(500, 510, 900)],
        first: 1024,
        chunks: vec![start(1000, 1020, 1500), start(1100, 1130, 1620)],
    });
    let key = record.key(&TopicPartition::new("orders", 3));
    assert_eq!(
        std::str::from_utf8(&key.encode())?,
        r#"{"topic":"orders","partition":3,"directory":2}"#
    );
    let bytes: Vec<String> = record
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        bytes.join(" "),
        "01 02 02 03 02 0a 04 28 ea 03 fa 03 dc 06 80 08 02 e8 07 fc 07 dc 0b 64 6e 78"
    );
    assert_eq!(MapRecord::decode(&record.encode())?, record);
    Ok(())
}

#[test]
fn a_directory_of_chunks_in_several_logs_is_of_version_2() -> TestResult {
    let record = MapRecord::Directory(Page {
        page: 2,
        kept: 3,
        older: vec![start(10, 4, 40), start(500, 510, 900)],
        first: 1024,
        chunks: vec![start(1000, 1020, 1500), start(1100, 1130, 70)],
    });
    let bytes: Vec<String> = record
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        bytes.join(" "),
        "02 02 02 03 02 0a 04 28 ea 03 fa 03 84 07 80 08 02 e8 07 fc 07 dc 0b 64 6e 46"
    );
    assert_eq!(MapRecord::decode(&record.encode())?, record);
    Ok(())
}

#[test]
fn a_directory_that_is_wrong_is_refused() {
    for (bytes, reason) in [
        (
            &[1, 2, 0, 0, 0, 0x80, 4, 1, 1, 1, 1][..],
            "it lists chunks of another page",
        ),
        (&[1, 2, 1, 0, 0, 0, 0], "it lists chunks of another page"),
        (
            &[1, 2, 1, 0, 1, 1, 1, 1, 0x81, 4, 0],
            "it names older pages but not all of its own chunks",
        ),
        (
            &[1, 2, 0, 0, 1, 1, 1, 1, 0, 0],
            "it names more older pages than there can be",
        ),
        (&[1, 2, 0, 0, 0, 0, 0, 0], "bytes follow its end"),
    ] {
        let error = DecodeError::Malformed {
            format: Format::MapRecord,
            reason: reason.to_owned(),
        };
        assert_eq!(MapRecord::decode(bytes), Err(error), "{bytes:?}");
    }
    // Very many are claimed, and there are no bytes for them.
    for bytes in [&[1, 2][..], &[1, 2, 0, 0, 0xff, 0xff, 0xff, 1, 1, 1]] {
        assert_eq!(
            MapRecord::decode(bytes),
            Err(DecodeError::Truncated {
                format: Format::MapRecord
            })
        );
    }
}

fn entries(most: usize) -> impl Strategy<Value = Vec<ChunkStart>> {
    let gaps = (0..1_i64 << 40, 0..1_i64 << 40, 0..1_i64 << 40);
    let gaps = prop::collection::vec(gaps, 0..most);
    (gaps, any::<bool>()).prop_map(|(gaps, rising)| {
        let mut sums = (0_i64, 0_i64, 0_i64);
        let mut next = |(source, target, at): (i64, i64, i64)| {
            let before = if rising { sums.2 } else { 0 };
            sums = (sums.0 + source, sums.1 + target, before + at);
            start(sums.0, sums.1, sums.2)
        };
        gaps.into_iter().map(&mut next).collect()
    })
}

proptest! {
    #[test]
    fn directories_round_trip(older in entries(9), chunks in entries(40), skipped in 0..400_u64, kept in any::<u64>(), more in 0..1000_u64) {
        let page = older.len() as u64 + more;
        let skipped = if older.is_empty() { skipped } else { 0 };
        let record = MapRecord::Directory(Page { page, kept, older, first: page * PAGE_CHUNKS + skipped, chunks });
        prop_assert_eq!(&MapRecord::decode(&record.encode())?, &record);
        let key = record.key(&TopicPartition::new("orders", 3));
        prop_assert_eq!(MapKey::decode(&key.encode())?, key);
    }

    #[test]
    fn any_bytes_are_a_directory_or_a_named_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let record = [vec![1, 2], bytes].concat();
        if let Ok(read) = MapRecord::decode(&record) {
            prop_assert_eq!(read.encode(), record);
        }
    }

    #[test]
    fn forgetting_never_goes_beyond_what_may_go(
        older in entries(5), chunks in entries(40), kept in 0..3000_u64,
        starts in (0..1_i64 << 44, 0..1_i64 << 44), limit in 0..700_u64,
    ) {
        let number = older.len() as u64;
        let mut page = Page { page: number, kept, older, first: number * PAGE_CHUNKS, chunks };
        let may_go = page.forgettable(SourceOffset::new(starts.0), TargetOffset::new(starts.1), limit);
        prop_assert!(may_go.start == kept && may_go.end >= kept && may_go.end <= kept + limit);
        let known = page.next_chunk();
        page.forget(may_go.end);
        prop_assert!(page.kept >= kept.min(known) && page.oldest_page() <= page.page);
    }
}
