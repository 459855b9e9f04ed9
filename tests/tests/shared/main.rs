//! What needs two clusters and leaves them as they are: each test has topics, groups and a flow of its own on the pair that
//! all of them share. A test that stops a broker, cuts the link or changes what holds for a whole cluster stands elsewhere.

mod both_ways;
mod foreign;
mod forgetting;
mod gaps;
mod handover;
mod made_again;
mod mm2_scenarios;
mod reslot;
mod seal;
mod tails;
mod topics;
mod verify_groups;
