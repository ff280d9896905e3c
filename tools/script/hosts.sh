# shellcheck shell=bash
# The hosts: their environment, their database, their start and their end.

# The first master key and the pepper, made once, before there are data. Later keys are made by rotations, in the same folder.
secrets() {
  local line
  if [ ! -f "$HOME_DIR/secrets.env" ]; then
    [ ! -e "$HOME_DIR/pg/data" ] || [ -n "${Notify__Pepper:-}" ] ||
      die "$HOME_DIR/secrets.env is gone, and without it the data cannot be read: put it back from a copy, or ./notify reset to begin anew (deletes the data)"
    (umask 077 && mkdir -p "$HOME_DIR/keys" && printf 'Notify__Pepper=%s\n' "$(random_base64 32)" >"$HOME_DIR/secrets.env.new")
    if ! is_set Notify__MasterKeys__; then
      (umask 077 && printf '%s\n' "$(random_base64 32)" >"$HOME_DIR/keys/k00000000000000.key")
    fi
    mv "$HOME_DIR/secrets.env.new" "$HOME_DIR/secrets.env"
  fi
  (umask 077 && mkdir -p "$HOME_DIR/keys")
  default Notify__KeyFolder "$HOME_DIR/keys"
  while read -r line; do default "${line%%=*}" "${line#*=}"; done <"$HOME_DIR/secrets.env"
}

# own_carriers SECTION NAME...: which of these providers the user has set anything of, as Routing names them.
own_carriers() {
  local section=$1 name own=
  shift
  for name; do
    if is_set "${section}__${name}__"; then own=${own:+$own,}$(printf '%s' "$name" | tr '[:upper:]' '[:lower:]'); fi
  done
  printf '%s' "$own"
}

# routes LANE NAME: whether a lane's Routing names a provider, however it is written.
routes() {
  local name all=
  for name in $(compgen -v "Routing__$1" || true); do all="$all ${!name}"; done
  case " $(printf '%s' "$all" | tr '[:upper:]' '[:lower:]') " in *[!a-z]"$2"[!a-z]*) return 0 ;; esac
  return 1
}

# plays LANE NAME OWN: whether the sandbox is to play this carrier: the user has set none of the lane's providers (OWN), and
# Routing names it.
plays() { [ -z "$3" ] && routes "$1" "$2"; }

# sandbox_provider NAME SETTING VALUE...: the sandbox's settings of a provider, as a whole, unless the user has set any of them.
sandbox_provider() {
  local name=$1
  shift
  if is_set "TestProviders__${name}__"; then return 0; fi
  while [ $# -gt 0 ]; do
    export "TestProviders__${name}__$1=$2"
    shift 2
  done
}

# of_sandbox KEY [FILE]: a value of the sandbox's keys.
of_sandbox() { json_value "$1" "$HOME_DIR/sandbox/${2:-sandbox.json}"; }

# The user's settings override the defaults, each provider as a whole. The sandbox's settings are TestProviders alone. With
# Notify__LiveToSandbox, live clients' messages go to it too, on each lane without a provider of the user's own.
environment() {
  local keys=$HOME_DIR/sandbox sms email
  # The service account names the sandbox's address, which follows NOTIFY_PORT.
  grep -q '"smtpPassword"' "$keys/sandbox.json" 2>/dev/null && [ -f "$keys/sendgrid-webhook-key.pem" ] && [ -f "$keys/apns-server.pfx" ] && [ -f "$keys/vapid.json" ] && [ "$(json_value token_uri "$keys/fcm-service-account.json" 2>/dev/null)" = "$SANDBOX/token" ] ||
    dotnet "$(dll_of sandbox)" keys --home "$keys" --url "$SANDBOX" >"$LOGS/sandbox.log" 2>&1 || die "the sandbox's keys could not be made: $(tail -n 1 "$LOGS/sandbox.log")"
  sms=$(own_carriers Providers Twilio Vonage) email=$(own_carriers Providers SendGrid Mailchimp Smtp)
  [ -n "$(compgen -v Routing__sms || true)" ] || export Routing__sms="${sms:-twilio}"
  [ -n "$(compgen -v Routing__email || true)" ] || export Routing__email="${email:-sendgrid}"
  default Notify__LiveToSandbox true
  default Notify__SandboxUrl "$SANDBOX"
  sandbox_provider Apns BaseUrl "$APNS" TrustedCaPath "$keys/apns-ca.pem" PrivateKeyPath "$keys/apns-auth-key.p8" \
    TeamId "$(of_sandbox apnsTeamId)" KeyId "$(of_sandbox apnsKeyId)" Topic "$(of_sandbox apnsTopic)"
  sandbox_provider Fcm BaseUrl "$SANDBOX" ServiceAccountPath "$keys/fcm-service-account.json"
  sandbox_provider WebPush PublicKey "$(of_sandbox publicKey vapid.json)" PrivateKey "$(of_sandbox privateKey vapid.json)" \
    Subject "$(of_sandbox subject vapid.json)"
  # Of the providers that share a lane, the sandbox plays those that Routing names.
  sms=$(own_carriers TestProviders Twilio Vonage) email=$(own_carriers TestProviders SendGrid Mailchimp Smtp)
  if plays sms twilio "$sms"; then
    sandbox_provider Twilio BaseUrl "$SANDBOX" AccountSid "$(of_sandbox twilioAccountSid)" AuthToken "$(of_sandbox twilioAuthToken)" \
      From "$(of_sandbox twilioFrom)"
  fi
  if plays sms vonage "$sms"; then
    sandbox_provider Vonage BaseUrl "$SANDBOX" ApiKey "$(of_sandbox vonageApiKey)" ApiSecret "$(of_sandbox vonageApiSecret)" \
      From "$(of_sandbox vonageFrom)" SignatureSecret "$(of_sandbox vonageSignatureSecret)" \
      SignatureMethod "$(of_sandbox vonageSignatureMethod)"
  fi
  if plays email sendgrid "$email"; then
    sandbox_provider SendGrid BaseUrl "$SANDBOX" ApiKey "$(of_sandbox sendGridApiKey)" From "Notify <$(of_sandbox sendGridFrom)>" \
      WebhookPublicKey "$(of_sandbox sendGridWebhookPublicKey)"
  fi
  if plays email mailchimp "$email"; then
    sandbox_provider Mailchimp BaseUrl "$SANDBOX" ApiKey "$(of_sandbox mailchimpApiKey)" From "Notify <$(of_sandbox mailchimpFrom)>" \
      WebhookKey "$(of_sandbox mailchimpWebhookKey)"
  fi
  if plays email smtp "$email"; then
    sandbox_provider Smtp Host 127.0.0.1 Port $((BASE + 12)) TrustedCaPath "$keys/apns-ca.pem" UserName "$(of_sandbox smtpUserName)" \
      Password "$(of_sandbox smtpPassword)" From "Notify <$(of_sandbox smtpFrom)>"
  fi
  default Notify__PublicUrl "http://127.0.0.1:$BASE"
  # Where the sandbox posts receipts; a service on the Internet is given none of this machine's own addresses.
  [ "$Notify__PublicUrl" != "http://127.0.0.1:$BASE" ] || default Notify__ReceiptsUrl "http://127.0.0.1:$(port_of dispatch)"
  default Sandbox__Home "$keys"
  default Sandbox__LedgerPath "$HOME_DIR/ledger"
  default Sandbox__Url "$SANDBOX"
  default Sandbox__ApnsUrl "$APNS"
  default Sandbox__SmtpUrl "$SMTP"
  default Sandbox__WebhookUrl "$DISPATCH"
}

# ConnectionStrings__notify of the user's own: that database is used, and none started here.
start_database() {
  if [ -z "$THEIR_DATABASE" ]; then
    pg_start "$HOME_DIR/pg" $((BASE + 20))
    ConnectionStrings__notify_owner="$(pg_connection "$HOME_DIR/pg");Maximum Pool Size=40;Keepalive=30"
    export ConnectionStrings__notify_owner
  fi
  (umask 077 && printf '%s\n' "${THEIR_DATABASE:-$ConnectionStrings__notify_owner}" >"$RUN/database")
}

# database_of HOST: the connection string of a host: with a role of its own in the private cluster, which migrate makes; else the user's.
database_of() {
  local password
  if [ -n "$THEIR_DATABASE" ]; then printf '%s' "$THEIR_DATABASE"; return 0; fi
  # It follows from the cluster's password, which does not follow from it.
  password=$(printf 'notify_%s %s' "$1" "$(cat "$HOME_DIR/pg/password")" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1)
  printf 'Host=127.0.0.1;Port=%s;Database=notify;Username=notify_%s;Password=%s;Maximum Pool Size=40;Keepalive=30' \
    "$(cat "$HOME_DIR/pg/port")" "$1" "$password"
}

# with_role HOST COMMAND...: runs a command with the connection string of a host.
with_role() {
  local role=$1
  shift
  ConnectionStrings__notify=$(database_of "$role") "$@"
}

# start_broker: with RabbitMQ as the transport, a private node; none beside ConnectionStrings__rabbitmq of the user's own.
start_broker() {
  default Notify__Transport Postgres
  case $Notify__Transport in
    [Rr][Aa][Bb][Bb][Ii][Tt][Mm][Qq])
      Notify__Transport=RabbitMq
      if [ -z "$THEIR_BROKER" ]; then
        mq_start "$HOME_DIR/mq" $((BASE + 21))
        ConnectionStrings__rabbitmq=$(mq_address "$HOME_DIR/mq" notify)
        export ConnectionStrings__rabbitmq
      fi ;;
  esac
  echo "$Notify__Transport" >"$RUN/transport"
}

# Once per build, database and transport; the first line of the stamp names the build. A new database knows no client.
migrate() {
  local host database code transport
  transport="${Notify__Transport:-Postgres} $([ "${Notify__Transport:-}" != RabbitMq ] || printf '%s' "$ConnectionStrings__rabbitmq" | cksum)"
  database=$(printf '%s' "${THEIR_DATABASE:-$(cat "$HOME_DIR/pg/password")}" | cksum)
  grep -q -x "$database" "$HOME_DIR/migrated" 2>/dev/null || rm -f "$HOME_DIR/client.json"
  if [ "$(cat "$HOME_DIR/migrated" 2>/dev/null)" = "$(head -n 1 "$STAMP")"$'\n'"$database"$'\n'"$transport" ]; then return 0; fi
  for host in projections api dispatch; do
    code=0
    printf '%s\n' "$(ASPNETCORE_URLS=http://127.0.0.1:0 with_role $host dotnet "$(dll_of $host)" migrate 2>&1 </dev/null || echo "exit code $?")" >"$LOGS/migrate-$host.log"
    case $(tail -n 1 "$LOGS/migrate-$host.log") in 'exit code '*) code=1 ;; esac
    [ $code = 0 ] || { last_words "$LOGS/migrate-$host.log" >&2; die "the database could not be brought to this version; all of it is in $LOGS/migrate-$host.log"; }
  done
  printf '%s\n' "$(head -n 1 "$STAMP")" "$database" "$transport" >"$HOME_DIR/migrated"
}

development_client() {
  local line
  if [ -s "$HOME_DIR/client.json" ]; then return 0; fi
  line=$(with_role api dotnet "$(dll_of api)" create-client 2>"$LOGS/create-client.log" </dev/null | tail -n 1) || true
  case $line in
    '{"appKey"'*) (umask 077 && printf '%s\n' "$line" >"$HOME_DIR/client.json") ;;
    *) last_words "$LOGS/create-client.log" >&2; die 'the development client could not be made' ;;
  esac
}

# Each host is a process group of its own, so that a Ctrl-C reaches only this script, which then stops them in order.
launch() {
  local host=$1
  [ ! -e "$LOGS/$host.log" ] || mv -f "$LOGS/$host.log" "$LOGS/$host.log.1"
  set -m
  (
    trap '' HUP
    ASPNETCORE_URLS=http://127.0.0.1:$(port_of "$host")
    export ASPNETCORE_URLS
    # The sandbox has settings of its own for where it listens.
    [ "$host" != sandbox ] || unset ASPNETCORE_URLS
    # The owner's password is for migrations, and the sandbox has nothing to do with the database.
    if [ "$host" = sandbox ]; then unset ConnectionStrings__notify; else ConnectionStrings__notify=$(database_of "$host") && export ConnectionStrings__notify; fi
    unset ConnectionStrings__notify_owner
    exec dotnet "$(dll_of "$host")" "--Notify:Home=$HOME_DIR"
  ) </dev/null >"$LOGS/$host.log" 2>&1 &
  echo $! >"$RUN/$host.pid"
  set +m
  # Until it has become dotnet, its command line is this script's.
  while kill -0 $! 2>/dev/null && ! host_runs "$host"; do sleep 0.02; done
  disown $!
}

# last_words LOG: the last messages of a host before it ended.
last_words() { grep -E '^(notify-[a-z]+|Unhandled exception|The sandbox cannot|The keys)' "$1" | tail -n 12 | grep . || grep -v 'info: Microsoft.Hosting' "$1" | tail -n 4 || true; }

wait_ready() {
  local host waiting=$HOSTS left=600
  while [ -n "$waiting" ]; do
    for host in $waiting; do
      if answers "$(port_of "$host")" /health/ready; then
        waiting=$(without "$host" "$waiting")
      elif ! host_runs "$host"; then
        sleep 0.2
        last_words "$LOGS/$host.log" >&2
        die "$host ended while starting; its log is $LOGS/$host.log"
      fi
    done
    left=$((left - 1))
    [ $left -gt 0 ] || die "not ready after a minute: $waiting; see $LOGS"
    sleep 0.1
  done
}

# Hosts first, the sandbox when no call is under way to it any more, then what they stand on.
stop_all() {
  local group host left
  for group in 'api dispatch projections' sandbox; do
    for host in $group; do if host_runs "$host"; then kill -TERM "$(cat "$RUN/$host.pid")" 2>/dev/null || true; fi; done
    left=300
    for host in $group; do
      while host_runs "$host"; do
        left=$((left - 1))
        if [ $left -le 0 ]; then
          say "$host did not stop in 30 s and is killed." >&2
          kill -KILL "$(cat "$RUN/$host.pid")" 2>/dev/null || true
        fi
        sleep 0.1
      done
      rm -f "$RUN/$host.pid"
    done
  done
  mq_stop "$HOME_DIR/mq"
  pg_stop "$HOME_DIR/pg" fast
}
