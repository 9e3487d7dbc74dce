//! What is left after a kill.

use std::process::Command;

use tagalong_proto::v1;

use crate::support::{Clients, Composition, Options, System, campaign, clients::all, tagalong};

/// Everything that can be read over gRPC.
async fn everything(clients: &Clients) -> String {
    let mut text = String::new();
    macro_rules! list {
        ($client:ident, $method:ident, $request:ident, $field:ident) => {
            let request = v1::$request { page_size: 2, ..Default::default() };
            for record in all!(clients.$client, $method, request, $field) {
                text += &format!("{record:?}\n");
            }
        };
    }
    list!(catalogue, list_programmes, ListProgrammesRequest, programmes);
    list!(catalogue, list_affiliates, ListAffiliatesRequest, affiliates);
    list!(catalogue, list_products, ListProductsRequest, products);
    list!(catalogue, list_webinars, ListWebinarsRequest, webinars);
    list!(attendees, list_attendees, ListAttendeesRequest, attendees);
    list!(sales, list_sales, ListSalesRequest, sales);
    list!(clicks, list_clicks, ListClicksRequest, clicks);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_all_in_one_keeps_all_data() {
    let mut system = System::start(Composition::AllInOne).await;
    let clients = campaign::load(&system).await;
    campaign::register(&clients, campaign::registration("jane", "max")).await.unwrap();
    let link = campaign::purchase_link(&clients, "jane").await;
    let path = campaign::path_of(&link.url);
    let answer = system.pc().open(&path).await;
    let sale =
        campaign::report(&clients, campaign::order("order", campaign::token(&link.token))).await;
    assert_eq!(sale.decision.unwrap().affiliate_id, "max");
    system.shipped(1).await;
    let before = everything(&clients).await;

    system.redirect().kill9();
    system.start_again(System::redirect).await;
    // On the ports it had, with the keys it had.
    let clients = system.clients();
    assert_eq!(everything(&clients).await, before);
    assert_eq!(campaign::purchase_link(&clients, "jane").await, link);
    let again = system.pc().open(&path).await;
    assert_eq!(again.parameter("reference"), answer.parameter("reference"));
    assert_eq!(again.parameter("affiliate").as_deref(), Some("max"));
    campaign::register(&clients, campaign::registration("john", "anna")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_demo_link_works_and_survives_a_kill() {
    let options = Options { demo: true, ..Options::default() };
    let mut system = System::start_with(Composition::AllInOne, &options).await;
    let printed = crate::support::until("the demo's links are printed", async || {
        let printed = std::fs::read_to_string(system.output().join("tagalong")).unwrap();
        printed.contains("tagalong sale list").then_some(printed)
    })
    .await;
    let links: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split_once("curl -i "))
        .map(|(_, link)| link.trim().trim_matches('\''))
        .collect();
    assert!(links.len() >= 4, "{printed}");
    for link in &links {
        campaign::resolves(&system.clients(), &campaign::path_of(link), |a| a.status == 302).await;
    }
    let follow = async |system: &System| {
        let mut hosts = Vec::new();
        for link in &links {
            let answer = system.phone().open(link).await;
            assert_eq!(answer.status, 302, "{link}: {answer:?}");
            hosts.push((answer.host(), answer.parameter("affiliate"), answer.parameter("aff")));
        }
        hosts
    };
    let before = follow(&system).await;
    let clicks = system.shipped(links.len()).await;
    system.redirect().kill9();
    system.start_again(System::redirect).await;
    assert_eq!(follow(&system).await, before);
    let after = system.shipped(2 * links.len()).await;
    assert_eq!(after[..clicks.len()], clicks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_process() {
    for composition in [Composition::AllInOne, Composition::Separate] {
        let mut system = System::start(composition).await;
        let data = system.data();
        let second = match composition {
            Composition::AllInOne => Command::new(tagalong())
                .args(["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
                .args(["--admin", "127.0.0.1:0", "--data"])
                .arg(&data)
                .output()
                .unwrap(),
            Composition::Separate => Command::new(crate::support::binary("tagalong-redirect"))
                .args(["--set", "redirect.http=127.0.0.1:0"])
                .args(["--set", "redirect.grpc=127.0.0.1:0"])
                .args(["--set", "redirect.admin=127.0.0.1:0"])
                .arg("--set")
                .arg(format!("redirect.data={}", data.join("redirect").display()))
                .arg("--set")
                .arg(format!("redirect.token_keys={}/token-keys.toml", data.display()))
                .output()
                .unwrap(),
        };
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains("another process"), "{said}");
        assert!(said.contains(data.to_str().unwrap()), "{said}");
        assert!(system.redirect().lives());
        assert!(system.metrics().await.contains("tagalong"));
    }
}
