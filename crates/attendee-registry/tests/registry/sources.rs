//! Connections to tools and checkouts.

use prost_types::Duration;
use tagalong_proto::v1;
use tonic::{Code, Status};

use crate::{
    messages::{programme, time},
    world::{DAY, HOUR, World, field, refusal},
};

fn source(id: &str) -> v1::Source {
    v1::Source {
        id: id.to_owned(),
        preset: "copecart".to_owned(),
        programme_id: "copecart".to_owned(),
        ..Default::default()
    }
}

fn webinar(external_id: &str, webinar_id: &str) -> v1::SourceWebinar {
    v1::SourceWebinar { external_id: external_id.to_owned(), webinar_id: webinar_id.to_owned() }
}

async fn create(world: &World, source: v1::Source, secret: &str) -> Result<v1::Source, Status> {
    let request = v1::CreateSourceRequest {
        source: Some(source),
        secret: secret.to_owned(),
        ..Default::default()
    };
    Ok(world.sources().create_source(request).await?.into_inner().source.unwrap())
}

async fn update(world: &World, source: v1::Source) -> Result<v1::Source, Status> {
    let request = v1::UpdateSourceRequest { source: Some(source), ..Default::default() };
    Ok(world.sources().update_source(request).await?.into_inner().source.unwrap())
}

async fn rotate(world: &World, secret: &str, hours: i64) -> Result<v1::Source, Status> {
    let request = v1::RotateSourceSecretRequest {
        source_id: "shop".to_owned(),
        secret: secret.to_owned(),
        keep_old_for: Some(Duration { seconds: hours * HOUR, nanos: 0 }),
        ..Default::default()
    };
    Ok(world.sources().rotate_source_secret(request).await?.into_inner().source.unwrap())
}

#[tokio::test]
async fn what_is_created_can_be_read_changed_and_listed() {
    let world = World::new().await;
    let mut shop = source("shop");
    shop.title = "Our shop".to_owned();
    shop.keep_emails = true;
    shop.webinars = vec![webinar("81", "launch"), webinar("", "launch")];
    let stored = create(&world, shop.clone(), "").await.unwrap();
    assert_eq!(stored.hook_url, "https://hooks.example.com/-/hooks/shop");
    assert_eq!(stored.created_at, Some(time(0)));
    shop.hook_url.clone_from(&stored.hook_url);
    shop.revision = stored.revision;
    shop.created_at = stored.created_at;
    shop.webinars.reverse();
    assert_eq!(stored, shop);

    world.at(1);
    let mut changed = stored.clone();
    changed.disabled = true;
    changed.webinars.clear();
    let changed = update(&world, changed).await.unwrap();
    assert!(changed.disabled && changed.webinars.is_empty() && changed.revision > stored.revision);
    let stale = update(&world, stored).await.unwrap_err();
    assert_eq!(refusal(&stale), (Code::Aborted, "REVISION_CHANGED".to_owned()));

    let request = v1::GetSourceRequest { id: "shop".to_owned() };
    let answer = world.sources().get_source(request).await.unwrap().into_inner();
    assert_eq!(answer.source, Some(changed));
    let setup = answer.setup.unwrap();
    assert_eq!((setup.platform.as_str(), setup.own_secret), ("CopeCart", false));

    for id in ["b", "a"] {
        create(&world, source(id), "").await.unwrap();
    }
    let mut ids = Vec::new();
    let mut request = v1::ListSourcesRequest { page_size: 2, ..Default::default() };
    loop {
        let page = world.sources().list_sources(request.clone()).await.unwrap().into_inner();
        ids.extend(page.sources.into_iter().map(|source| source.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["a", "b", "shop"]);

    let again = create(&world, source("shop"), "").await.unwrap_err();
    assert_eq!(refusal(&again), (Code::AlreadyExists, "SOURCE_EXISTS".to_owned()));
    let none = update(&world, source("none")).await.unwrap_err();
    assert_eq!(refusal(&none), (Code::NotFound, "SOURCE_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_names_its_field_and_changes_nothing() {
    let world = World::new().await;
    create(&world, source("shop"), "").await.unwrap();
    let before = world.dump().await;
    let with = |change: fn(&mut v1::Source)| {
        let mut source = source("other");
        change(&mut source);
        source
    };
    for (source, expected) in [
        (with(|source| source.id = "a/b".to_owned()), "source.id"),
        (with(|source| source.preset = String::new()), "source.preset"),
        (with(|source| source.preset = "none".to_owned()), "source.preset"),
        (with(|source| source.programme_id = "none".to_owned()), "source.programme_id"),
        (with(|source| source.title = "x".repeat(201)), "source.title"),
        (
            with(|source| source.webinars = vec![webinar("1", "none")]),
            "source.webinars[0].webinar_id",
        ),
        (
            with(|source| source.webinars = vec![webinar("1", "launch"), webinar(" 1", "launch")]),
            "source.webinars[1].external_id",
        ),
    ] {
        let refused = create(&world, source.clone(), "").await.unwrap_err();
        assert_eq!(field(&refused), expected);
        let source = v1::Source { id: "shop".to_owned(), ..source };
        if expected != "source.id" {
            assert_eq!(field(&update(&world, source).await.unwrap_err()), expected);
        }
    }
    for secret in ["x".repeat(513), "a\u{0}b".to_owned()] {
        let refused = create(&world, source("other"), &secret).await.unwrap_err();
        assert_eq!(field(&refused), "secret");
        assert!(!format!("{refused:?}").contains(&secret));
        assert_eq!(field(&rotate(&world, &secret, 1).await.unwrap_err()), "secret");
    }
    assert_eq!(field(&rotate(&world, " ", 1).await.unwrap_err()), "secret");
    assert_eq!(field(&rotate(&world, "new", -1).await.unwrap_err()), "keep_old_for");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn secrets_are_sealed_expire_and_are_few() {
    let world = World::new().await;
    let first = create(&world, source("shop"), "first-secret").await.unwrap();
    assert_eq!(first.secrets.len(), 1);
    world.at(HOUR);
    let rotated = rotate(&world, "second-secret", 24).await.unwrap();
    let expiries: Vec<_> = rotated.secrets.iter().map(|secret| secret.expires_at).collect();
    assert_eq!(expiries, [None, Some(time(HOUR + DAY))]);
    // What was to expire earlier still does.
    let rotated = rotate(&world, "third-secret", 48).await.unwrap();
    let expiries: Vec<_> = rotated.secrets.iter().map(|secret| secret.expires_at).collect();
    assert_eq!(expiries, [None, Some(time(HOUR + 2 * DAY)), Some(time(HOUR + DAY))]);
    let at_once = rotate(&world, "fourth-secret", 0).await.unwrap();
    assert_eq!(at_once.secrets.len(), 1);
    for n in 0..20 {
        let many = rotate(&world, &format!("secret-{n}"), 24).await.unwrap();
        assert!(many.secrets.len() <= 8, "{many:?}");
    }
    let dump = format!("{:?}", world.dump().await);
    for secret in ["first-secret", "fourth-secret", "secret-19"] {
        assert!(!dump.contains(secret) && !dump.contains(&hex::encode_upper(secret)));
    }
}

#[tokio::test]
async fn a_request_made_twice_is_done_once() {
    let world = World::new().await;
    let request = v1::CreateSourceRequest {
        request_id: "1".to_owned(),
        source: Some(source("shop")),
        secret: "s".to_owned(),
    };
    let first = world.sources().create_source(request.clone()).await.unwrap().into_inner();
    let again = world.sources().create_source(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = v1::CreateSourceRequest { secret: "t".to_owned(), ..request };
    let refused = world.sources().create_source(other).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
}

#[tokio::test]
async fn a_test_programme_takes_its_sources_with_it() {
    let world = World::new().await;
    let before = world.dump().await;
    let test = v1::Programme { test: true, ..programme("test") };
    world.programme(test).await.unwrap();
    let shop = v1::Source {
        programme_id: "test".to_owned(),
        webinars: vec![webinar("1", "launch")],
        ..source("shop")
    };
    create(&world, shop, "secret").await.unwrap();
    let request =
        v1::RemoveTestRecordsRequest { programme_id: "test".to_owned(), ..Default::default() };
    world.catalogue().remove_test_records(request).await.unwrap();
    let after = world.dump().await;
    for table in ["source", "source_webinar", "source_key", "delivery", "programme"] {
        assert_eq!(after[table], before[table], "{table}");
    }
}
