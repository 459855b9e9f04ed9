//! What is accepted, and what stops a recovery.

use understudy_domain::TopicPartition;
use understudy_fakes::Stage;
use understudy_recovery::contract::PlacesRequest;
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_recovery::{ErrorName, Leash, Mode, StepError};
use understudy_shell::step::{must_load, save};
use understudy_shell::world::Presence;

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One group that is to stand at 50, and where it does.
fn verify(now: Option<i64>, presence: Presence, leash: Leash) -> Result<PlaceIs, StepError> {
    let stage = Stage::new();
    let world = stage.world();
    let places = Places {
        places: vec![GroupPlace {
            group: "billing".to_owned(),
            topic: "orders".to_owned(),
            partition: 0,
            source_offset: Some(45),
            target_offset: Some(50),
            state: PlaceIs::Exact,
            reread_records: None,
            reason: None,
        }],
    };
    save(&world, "places", &places)?;
    {
        let mut scene = stage.scene();
        let target = scene.cluster("usw2");
        target.groups.insert("billing".to_owned(), presence);
        if let Some(now) = now {
            let place = ("billing".to_owned(), TopicPartition::new("orders", 0));
            target.places.insert(place, now);
        }
    }
    let request = PlacesRequest {
        order: stage.order(Mode::Failover, leash),
        cut: "cut".to_owned(),
        places: Some("places".to_owned()),
    };
    let verified = handle(&world, request)?;
    let places: Places = must_load(&world, &verified.places)?;
    Ok(places
        .places
        .first()
        .map_or(PlaceIs::Unknown, |it| it.state))
}

#[test]
fn what_stands_right_is_verified_and_what_would_skip_stops_the_recovery() -> Outcome {
    let acting = Leash::Acting;
    assert_eq!(verify(Some(50), Presence::Empty, acting)?, PlaceIs::Exact);
    assert_eq!(verify(Some(48), Presence::Empty, acting)?, PlaceIs::AtLeast);
    assert_eq!(verify(Some(70), Presence::Live, acting)?, PlaceIs::Live);
    for wrong in [Some(51), None] {
        let refused = verify(wrong, Presence::Empty, acting).err();
        let refused = refused.ok_or("it was accepted")?;
        assert_eq!(refused.name, ErrorName::PlacesUnverified);
        assert!(refused.text.contains("billing in orders-0"), "{refused}");
    }
    Ok(())
}

#[test]
fn a_drill_is_held_against_nothing() -> Outcome {
    assert_eq!(
        verify(None, Presence::Empty, Leash::Leashed)?,
        PlaceIs::Exact
    );
    Ok(())
}
