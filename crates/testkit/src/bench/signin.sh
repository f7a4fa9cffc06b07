# Signs the caller in by the product and by stock tools in turn. Arguments: the folder of the stock
# card, its TPM, the number of pairs. Reads both PINs. One line a pair: microseconds of ours, of the
# reference, and what ours answered.
set -eu
read -r pin
read -r card_pin
folder=$1 tpm=$2 pairs=$3
module=/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so

ours() {
    begin=${EPOCHREALTIME/./}
    answer=$(latchkey signin --pin-stdin --json <<<"$pin")
    ours=$((${EPOCHREALTIME/./} - begin))
}

reference() {
    begin=${EPOCHREALTIME/./}
    prompt=$(TPM2_PKCS11_STORE="$folder/store" TPM2_PKCS11_TCTI=$tpm \
        KRB5_CONFIG="$folder/krb5.conf:/etc/krb5.conf" kinit \
        -X "X509_user_identity=PKCS11:module_name=$module:token=reference" \
        -X "X509_anchors=FILE:$folder/kdc-ca.crt" -X "X509_anchors=FILE:$folder/ca.crt" \
        <<<"$card_pin")
    reference=$((${EPOCHREALTIME/./} - begin))
}

for ((pair = 0; pair < pairs; pair++)); do
    if ((pair % 2)); then
        ours
        reference
    else
        reference
        ours
    fi
    echo "$ours $reference $answer"
done
