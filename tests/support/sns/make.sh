#!/bin/sh
# Makes what the tests sign notifications with: a key and certificates that stand for those of SNS. Run once, with
# OpenSSL 3, in this directory; they guard nothing.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() {
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/$1.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$work/$1.pem" -outform DER -out "$1-key.der"
}

# NAME HOST FROM UNTIL: self-made, for the first key.
certificate() {
    : > "$work/index.txt"
    printf '[ca]\ndefault_ca=own\n[own]\ndatabase=%s/index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=any\nnew_certs_dir=%s\nx509_extensions=names\n[any]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:%s\n[req]\ndistinguished_name=none\n[none]\n' \
        "$work" "$work" "$2" > "$work/ca.cnf"
    openssl req -new -key "$work/sns.pem" -subj "/CN=$2" -config "$work/ca.cnf" -out "$work/request.pem"
    openssl ca -batch -selfsign -notext -config "$work/ca.cnf" -keyfile "$work/sns.pem" -in "$work/request.pem" \
        -startdate "$3" -enddate "$4" -out "$1.pem" 2> /dev/null
}

key sns
key other
certificate sns sns.amazonaws.com 20200101000000Z 20991231235959Z
certificate expired sns.amazonaws.com 20180101000000Z 20191231235959Z
certificate foreign mail.example.com 20200101000000Z 20991231235959Z

# SignatureVersion 1, which nothing in the tests can make: what SES publishes when an event destination is made.
message='Successfully validated SNS topic for Amazon SES event publishing.'
topic=arn:aws:sns:us-east-1:123456789012:issei-events
printf 'Message\n%s\nMessageId\n%s\nSubject\n%s\nTimestamp\n%s\nTopicArn\n%s\nType\nNotification\n' \
    "$message" first "Amazon SES" 2026-11-24T00:00:00.000Z "$topic" > "$work/text"
signature=$(openssl dgst -sha1 -sign "$work/sns.pem" "$work/text" | base64 -w 0)
printf '{"Type":"Notification","MessageId":"first","TopicArn":"%s","Subject":"Amazon SES","Message":"%s","Timestamp":"2026-11-24T00:00:00.000Z","SignatureVersion":"1","Signature":"%s","SigningCertURL":"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.pem"}\n' \
    "$topic" "$message" "$signature" > version-1.json
