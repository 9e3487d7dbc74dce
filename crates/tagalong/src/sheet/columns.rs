//! Which column holds what.

use std::fmt;

/// Something that is known of a registration, a sale or a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Affiliate,
    Amount,
    AmountMinor,
    Bump,
    Click,
    Coupon,
    Currency,
    Email,
    FirstName,
    Id,
    Item,
    LastName,
    Name,
    Order,
    Parent,
    Product,
    Reference,
    RegisteredAt,
    Registration,
    Session,
    SoldAt,
    Status,
    Test,
    Time,
    Transaction,
    Type,
    Upsell,
    Webinar,
}

impl Field {
    /// As `--map` spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Affiliate => "affiliate",
            Self::Amount => "amount",
            Self::AmountMinor => "amount_minor",
            Self::Bump => "bump",
            Self::Click => "click",
            Self::Coupon => "coupon",
            Self::Currency => "currency",
            Self::Email => "email",
            Self::FirstName => "first_name",
            Self::Id => "id",
            Self::Item => "item",
            Self::LastName => "last_name",
            Self::Name => "name",
            Self::Order => "order",
            Self::Parent => "parent",
            Self::Product => "product",
            Self::Reference => "reference",
            Self::RegisteredAt => "registered_at",
            Self::Registration => "registration",
            Self::Session => "session",
            Self::SoldAt => "sold_at",
            Self::Status => "status",
            Self::Test => "test",
            Self::Time => "time",
            Self::Transaction => "transaction",
            Self::Type => "type",
            Self::Upsell => "upsell",
            Self::Webinar => "webinar",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A field with the names that tools give its column, as [`plain`] leaves them, the most telling
/// first.
type Known = (Field, &'static str);

/// What a kind of file can hold.
#[derive(Debug)]
pub(crate) struct Layout {
    /// For people: `registrations`.
    pub(crate) what: &'static str,
    fields: &'static [Known],
}

const EMAIL: Known = (
    Field::Email,
    "email emailaddress emailadresse buyeremail customeremail attendeeemail registrantemail \
subscriberemail useremail kundenemail kundeemail käuferemail kaeuferemail teilnehmeremail \
billingemail mail mailadresse",
);
const TIME: Known =
    (Field::Time, "time uhrzeit zeit ordertime bestellzeit anmeldeuhrzeit transactionclock");

/// A webinar tool's list of who registered.
pub(crate) const REGISTRATIONS: Layout = Layout {
    what: "registrations",
    fields: &[
        EMAIL,
        (
            Field::Affiliate,
            "affiliate affiliateid affiliatename aff affid affiliatecode partner partnerid partnername \
vertriebspartner empfehler empfohlenvon referredby registrationsource trackingcode utmbmcrsource \
sourcename trackingsource source quelle ref referrer utmsource",
        ),
        (
            Field::RegisteredAt,
            "registeredat registeredon registrationtime registrationdate registrationdatetime registrierungsdatum \
registrierungszeit registrierungszeitpunkt registriertam anmeldedatum anmeldezeitpunkt angemeldetam \
anmeldung signupdate signuptime signedupat optindate optintime subscribedat createdat created \
datecreated erstelltam dateadded timestamp zeitstempel datum date",
        ),
        TIME,
        (
            Field::Id,
            "registrationid registrantid registrantkey registrierungsid anmeldeid anmeldungsid attendeeid \
teilnehmerid subscriptionid subscriberid personid leadid bmid id uuid",
        ),
        (
            Field::Session,
            "sessionid session broadcastid broadcast schedule sessiondate sessiontime webinardate webinartermin \
termin eventdate",
        ),
        (
            Field::Webinar,
            "webinarid webinarkey webinar webinarname eventid event eventname conferenceid",
        ),
        (Field::Click, "click clickid"),
    ],
};

/// A checkout's list of what was sold.
pub(crate) const SALES: Layout = Layout {
    what: "sales",
    fields: &[
        (
            Field::Order,
            "orderid ordernumber orderno order bestellnummer bestellid bestellungsid bestellung bestellnr \
auftragsnummer receipt receiptid saleid purchaseid checkoutid invoiceid invoicenumber \
rechnungsnummer id",
        ),
        (Field::Item, "lineitemid orderitemid itemid positionsid itemno"),
        (
            Field::Product,
            "productid produktid productslug lineitemsku sku artikelnummer itemnumber product produkt productname \
produktname lineitemname artikel itemname",
        ),
        (
            Field::SoldAt,
            "orderdate orderdatetime orderedat bestelldatum bestelltam bestellzeitpunkt kaufdatum kaufzeitpunkt \
purchasedate purchasedat saledate soldat verkaufsdatum transactiondate transactiontime \
transaktionsdatum paidat paymentdate zahlungsdatum createdat createdutc created creationdate \
erstelltam timestamp zeitstempel datum date",
        ),
        TIME,
        EMAIL,
        (
            Field::Affiliate,
            "affiliate affiliateusername affiliatename affiliateid affiliatecode partner partnername partnerid \
vertriebspartner publisher referredby referrer",
        ),
        (
            Field::Amount,
            "transactionamount amount totalamount totalorderamount total ordertotal lineitemamount lineitemprice \
amountbrutto bruttobetrag betragbrutto brutto grossamount gross betrag gesamtbetrag gesamt summe \
umsatz price preis revenue amountnetto nettobetrag net",
        ),
        (
            Field::AmountMinor,
            "amountminor minorunits amountcents amountincents totalcents betragincent",
        ),
        (
            Field::Currency,
            "currency currencycode transactioncurrency währung waehrung währungscode",
        ),
        (
            Field::Transaction,
            "transactionid transaktionsid transactionno paymentid zahlungsid txnid chargeid paymentintentid",
        ),
        (
            Field::Type,
            "transactiontype transaktionstyp transaktionsart eventtype event type typ art buchungsart",
        ),
        (
            Field::Status,
            "paymentstatus zahlungsstatus financialstatus transactionstatus orderstatus billingstatus \
bestellstatus status",
        ),
        (Field::Parent, "parentorderid parentorder originalorderid followsorder"),
        (Field::Upsell, "upsell isupsell"),
        (Field::Bump, "bump isbump addon isaddon orderbump"),
        (Field::Coupon, "couponcode coupon discountcode gutscheincode gutschein voucher"),
        (
            Field::Reference,
            "reference metadata custom customfield clientreferenceid passthrough trackingcodes tid",
        ),
        (Field::Registration, "registration registrationid registrantid anmeldeid"),
        (Field::Test, "test istest testpayment testmode testzahlung apimode mode"),
    ],
};

/// An affiliate platform's list of partners.
pub(crate) const PARTNERS: Layout = Layout {
    what: "partners",
    fields: &[
        (
            Field::Affiliate,
            "affiliate affiliateusername affiliatename affiliateid username benutzername partner partnerid \
partnername publisherid affiliatecode nickname id",
        ),
        (Field::Name, "name fullname displayname vollername company firma"),
        (Field::FirstName, "firstname vorname givenname"),
        (Field::LastName, "lastname nachname surname familyname"),
        EMAIL,
        (Field::Coupon, "couponcode coupon discountcode gutscheincode gutschein voucher"),
    ],
};

impl Layout {
    fn field(&self, name: &str) -> Option<Field> {
        let fields = self.fields.iter().map(|(field, _)| *field);
        fields.into_iter().find(|field| field.name() == name)
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|(field, _)| field.name()).collect();
        names.join(", ")
    }
}

/// A column's name without what tools write in different ways: letters and digits in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What an operator says of a column: `affiliate=Utm Source`; without a name, no column has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    field: String,
    column: String,
}

/// Reads `FIELD=COLUMN`.
pub(crate) fn mapping(text: &str) -> Result<Mapping, String> {
    let (field, column) = text
        .split_once('=')
        .ok_or_else(|| "expected FIELD=COLUMN, such as email=Mail".to_owned())?;
    Ok(Mapping { field: field.trim().to_owned(), column: column.trim().to_owned() })
}

impl Mapping {
    fn position(&self, header: &[String]) -> Option<usize> {
        let wanted = plain(&self.column);
        let exact = header.iter().position(|name| name.trim() == self.column);
        exact.or_else(|| header.iter().position(|name| !wanted.is_empty() && plain(name) == wanted))
    }
}

/// How many columns of a header would be understood.
pub(super) fn understood(layout: &Layout, header: &[String], mappings: &[Mapping]) -> usize {
    let detected = Columns::find(layout, header, &[]).map_or(0, |columns| columns.0.len());
    detected + mappings.iter().filter(|mapping| mapping.position(header).is_some()).count()
}

/// Where each field is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Columns(Vec<(Field, usize)>);

impl Columns {
    /// Finds the columns of a header. Each field has the column with the most telling name, unless a mapping says
    /// otherwise; no column is two fields'.
    pub(super) fn find(
        layout: &Layout,
        header: &[String],
        mappings: &[Mapping],
    ) -> Result<Self, String> {
        let plain_header: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let mut columns = Vec::new();
        let mut mapped = Vec::new();
        for mapping in mappings {
            let field = layout.field(&mapping.field).ok_or_else(|| {
                format!("{} have no field {}: {}", layout.what, mapping.field, layout.names())
            })?;
            mapped.push(field);
            if mapping.column.is_empty() {
                continue;
            }
            let at = mapping.position(header).ok_or_else(|| {
                format!(
                    "there is no column {}; there are {}",
                    mapping.column,
                    super::listed(header)
                )
            })?;
            columns.push((field, at));
        }
        for (field, names) in layout.fields {
            if mapped.contains(field) {
                continue;
            }
            let free = |at: &usize| !columns.iter().any(|(_, taken)| taken == at);
            let named = |name: &str| plain_header.iter().position(|column| column == name);
            let own = plain(field.name());
            let known = names.split_whitespace().chain([own.as_str()]);
            if let Some(at) = known.filter_map(named).find(|at| free(at)) {
                columns.push((*field, at));
            }
        }
        columns.sort_unstable();
        Ok(Self(columns))
    }

    /// The column of a field.
    pub(crate) fn get(&self, field: Field) -> Option<usize> {
        self.0.iter().find(|(found, _)| *found == field).map(|(_, at)| *at)
    }

    /// Each field with its column.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Field, usize)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(layout: &Layout, header: &str, mappings: &[&str]) -> Result<Vec<String>, String> {
        let header: Vec<String> = header.split(';').map(ToOwned::to_owned).collect();
        let mappings: Vec<Mapping> = mappings.iter().map(|text| mapping(text).unwrap()).collect();
        let columns = Columns::find(layout, &header, &mappings)?;
        Ok(columns.iter().map(|(field, at)| format!("{field}={}", header[at])).collect())
    }

    #[test]
    fn headers_of_real_tools() {
        for (layout, header, expected) in [
            (
                &REGISTRATIONS,
                "First Name;Last Name;Email;Registration Time;Approval Status;Source Name",
                "affiliate=Source Name email=Email registered_at=Registration Time",
            ),
            (
                &REGISTRATIONS,
                "Vorname;Nachname;E-Mail-Adresse;Anmeldedatum;Uhrzeit;Termin;aff",
                "affiliate=aff email=E-Mail-Adresse registered_at=Anmeldedatum session=Termin time=Uhrzeit",
            ),
            (
                &REGISTRATIONS,
                "registrantKey;email;registrationDate;source;webinarKey",
                "affiliate=source email=email id=registrantKey registered_at=registrationDate webinar=webinarKey",
            ),
            (
                &SALES,
                "order_id;order_date;order_time;product_id;product_name;buyer_email;affiliate;transaction_id;transaction_type;transaction_amount;transaction_currency;payment_status;is_upsell;is_addon;metadata;test_payment",
                "affiliate=affiliate amount=transaction_amount bump=is_addon currency=transaction_currency email=buyer_email order=order_id product=product_id reference=metadata sold_at=order_date status=payment_status test=test_payment time=order_time transaction=transaction_id type=transaction_type upsell=is_upsell",
            ),
            (
                &SALES,
                "Bestellnummer;Kaufdatum;Produkt;Käufer E-Mail;Vertriebspartner;Bruttobetrag;Währung",
                "affiliate=Vertriebspartner amount=Bruttobetrag currency=Währung email=Käufer E-Mail order=Bestellnummer product=Produkt sold_at=Kaufdatum",
            ),
            (
                &PARTNERS,
                "Benutzername;Vorname;Nachname;E-Mail",
                "affiliate=Benutzername email=E-Mail first_name=Vorname last_name=Nachname",
            ),
        ] {
            assert_eq!(found(layout, header, &[]).unwrap().join(" "), expected);
        }
    }

    #[test]
    fn a_mapping_outranks_what_was_detected() {
        let header = "Email;Other mail;Source;Ref";
        let with = |mappings: &[&str]| found(&REGISTRATIONS, header, mappings).unwrap().join(" ");
        assert_eq!(with(&[]), "affiliate=Source email=Email");
        assert_eq!(with(&["email=other MAIL"]), "affiliate=Source email=Other mail");
        assert_eq!(with(&["affiliate="]), "email=Email");
        assert_eq!(with(&["session=Source"]), "affiliate=Ref email=Email session=Source");
        let wrong = found(&REGISTRATIONS, header, &["price=Email"]).unwrap_err();
        assert!(wrong.contains("price") && wrong.contains("registered_at"), "{wrong}");
        let wrong = found(&REGISTRATIONS, header, &["email=Nothing"]).unwrap_err();
        assert!(wrong.contains("Nothing") && wrong.contains("Other mail"), "{wrong}");
        assert!(mapping("email").is_err());
    }
}
