//! Wrong passwords: how the database counts them.

use std::time::Duration;

use hearth_store::failed_login::Charge;
use tokio::time::sleep;

use crate::harness::World;

#[tokio::test]
async fn wrong_passwords_over_a_real_database() {
    let world = World::new().await;
    a_bucket_is_emptied_and_fills_again(&world).await;
    where_one_bucket_is_empty_the_other_is_not_charged(&world).await;
    a_bucket_that_is_full_again_is_forgotten(&world).await;
    world.end().await;
}

fn charge(name: u8, every: Duration) -> Charge {
    Charge { subject: [name; 32], every, depth: every * 3 }
}

async fn a_bucket_is_emptied_and_fills_again(world: &World) {
    let every = Duration::from_secs(100);
    let charges = [charge(1, every)];
    for _ in 0..3 {
        assert_eq!(world.store.charge_failed_logins(&charges).await.unwrap(), None);
    }
    let wait = world.store.charge_failed_logins(&charges).await.unwrap().unwrap_or_default();
    assert!(wait + Duration::from_secs(20) > every && wait <= every, "{wait:?}");
    world.store.refund_failed_logins(&charges).await.unwrap();
    assert_eq!(world.store.charge_failed_logins(&charges).await.unwrap(), None);
    assert!(world.store.charge_failed_logins(&charges).await.unwrap().is_some());
}

async fn where_one_bucket_is_empty_the_other_is_not_charged(world: &World) {
    let every = Duration::from_secs(100);
    let (empty, full) = (charge(2, every), charge(3, every));
    for _ in 0..3 {
        assert_eq!(world.store.charge_failed_logins(&[empty]).await.unwrap(), None);
    }
    for _ in 0..10 {
        assert!(world.store.charge_failed_logins(&[full, empty]).await.unwrap().is_some());
    }
    assert_eq!(world.store.charge_failed_logins(&[full]).await.unwrap(), None);
}

async fn a_bucket_that_is_full_again_is_forgotten(world: &World) {
    let passing = charge(4, Duration::from_millis(1));
    assert_eq!(world.store.charge_failed_logins(&[passing]).await.unwrap(), None);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(world.store.delete_forgotten_failed_logins().await.unwrap(), 1);
    assert_eq!(world.store.delete_forgotten_failed_logins().await.unwrap(), 0);
}
