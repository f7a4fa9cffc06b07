# A stock smart card made of the other TPM: libtpm2_pkcs11 with one key, and a certificate for it
# from an authority made for this one. Arguments: the folder, the TPM, the person. Reads the PIN.
set -eu
read -r pin
folder=$1 person=$3
export TPM2_PKCS11_STORE="$folder/store" TPM2_PKCS11_TCTI=$2 PIN="$pin"
tool() { pkcs11-tool --module /usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so "$@"; }

mkdir -p "$folder/store"
cd "$folder"
tool --init-token --slot-index 0 --label reference --so-pin env:PIN
tool --token-label reference --login --login-type so --so-pin env:PIN --init-pin --new-pin env:PIN
tool --token-label reference --login --pin env:PIN --keypairgen --key-type rsa:2048 --id 01
tool --token-label reference --read-object --type pubkey --id 01 --output-file key.der
openssl pkey -pubin -inform DER -in key.der -out key.pub

cat >leaf.cnf <<END
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
extendedKeyUsage = 1.3.6.1.4.1.311.20.2.2, 1.3.6.1.5.2.3.4
subjectAltName = otherName:1.3.6.1.4.1.311.20.2.3;UTF8:$person@corp.latchkey.test
END
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=throw-away -keyout ca.key -out ca.crt
openssl req -new -newkey rsa:2048 -nodes -subj "/CN=$person" -keyout spare.key -out leaf.csr
openssl x509 -req -in leaf.csr -force_pubkey key.pub -CA ca.crt -CAkey ca.key -CAcreateserial \
    -extfile leaf.cnf -outform DER -out leaf.der
tool --token-label reference --login --pin env:PIN --write-object leaf.der --type cert --id 01
chown -R "$person:" store
