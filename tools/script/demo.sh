# shellcheck shell=bash
# ./notify demo: one person with a phone number, an email address and a device of each kind, one notification to all of
# them, and its timeline as it happens.

# field NAME JSON: the first text or number of that name.
field() { printf '%s\n' "$2" | grep -o "\"$1\":\\(\"[^\"]*\"\\|[0-9.]*\\)" | head -n 1 | sed 's/^[^:]*://; s/"//g' || true; }

# milliseconds TIME: of an ISO 8601 time, since midnight UTC.
milliseconds() {
  local time=${1#*T} fraction=000
  time=${time%%[Z+-]*}
  case $time in *.*) fraction=$(printf '%s000' "${time#*.}" | cut -c 1-3) ;; esac
  time=${time%.*}
  echo $((((10#${time:0:2} * 60 + 10#${time:3:2}) * 60 + 10#${time:6:2}) * 1000 + 10#$fraction))
}

lane_in_words() {
  case $1 in
    apns) echo 'push (APNs)' ;;
    fcm) echo 'push (FCM)' ;;
    webpush) echo 'push (browser)' ;;
    sms) echo SMS ;;
    *) echo "$1" ;;
  esac
}

# in_a_row: its lines as one: a, b and c.
in_a_row() { sed -e ':all' -e '$!{' -e 'N' -e 'b all' -e '}' -e 's/\n/, /g' -e 's/\(.*\), /\1 and /'; }

# in_words EVENT: describes one event of the stream in a sentence. PLANNED holds "id lane" lines.
in_words() {
  local type lane reason
  type=$(field type "$1") reason=$(field reason "$1")
  lane=$(lane_in_words "$(printf '%s\n' "$PLANNED" | sed -n "s/^$(field deliveryId "$1") //p")")
  case $type in
    NotificationRequested) echo 'accepted, and kept from now on' ;;
    DeliveriesPlanned) echo "planned: $(printf '%s\n' "$PLANNED" | while read -r _ lane; do lane_in_words "$lane"; done | in_a_row)" ;;
    DispatchAttempted) echo "$lane: attempt $(field attempt "$1") written down, before $(field provider "$1") is called" ;;
    NotificationDispatched) echo "$lane: $(field provider "$1") took it in $(field latencyMs "$1") ms, as $(field providerMessageId "$1")" ;;
    DeliveryDeferred) echo "$lane: later, $reason" ;;
    *) echo "$lane: $type${reason:+, $reason}" ;;
  esac
}

demo() {
  local key user id events line first='' seen=0 left=300 offset status=''
  command -v curl >/dev/null || with_apt curl || die 'the demo needs curl; install it'
  if ! runs; then
    trap '"$SELF" down >&2' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    "$SELF" up --detach >/dev/null
    places
  fi
  key=$(json_value appKey "$HOME_DIR/client.json"):$(json_value appSecret "$HOME_DIR/client.json")
  id=demo-$(date +%s) user=u-$(random_hex 4)

  say "A user, $user:"
  ask PUT "/v1/users/$user" "{\"phone\":\"+12025550142\",\"email\":\"$user@mail.example\",\"locale\":\"en\",\"timeZone\":\"Europe/Berlin\"}" >/dev/null
  say "  PUT  /v1/users/$user: a phone number and an email address"
  device 'an iPhone' "{\"platform\":\"ios\",\"token\":\"0d$(random_hex 31)\"}"
  device 'an Android phone' "{\"platform\":\"android\",\"token\":\"demo:$(random_hex 60)\"}"
  device 'a browser' "{\"platform\":\"web\",\"subscription\":$(curl -sS --max-time 20 -X POST "$SANDBOX/webpush/subscriptions")}"
  say "One notification, $id:"
  line=$(ask POST /v1/notifications "{\"eventId\":\"$id\",\"userId\":\"$user\",\"category\":\"shipping\",\"content\":{\"title\":\"On its way\",\"body\":\"Your parcel $id is on its way.\",\"html\":\"<p>Your parcel <b>$id</b> is on its way.</p>\"}}")
  say "  POST /v1/notifications -> $line"
  say 'What happens to it:'
  PLANNED=
  while [ $left -gt 0 ]; do
    # The state before the events: when it is final, so are they.
    status=$(field status "$(ask GET "/v1/notifications/$id")")
    events=$(ask GET "/v1/notifications/$id/events" '' -H 'Accept: application/x-ndjson' | tail -n +$((seen + 1)))
    while IFS= read -r line; do
      [ -n "$line" ] || continue
      seen=$((seen + 1))
      case $line in *'"type":"DeliveriesPlanned"'*)
        PLANNED=$(printf '%s\n' "$line" | grep -o '"id":"[^"]*","lane":"[^"]*"' | sed 's/"id":"\([^"]*\)","lane":"\([^"]*\)"/\1 \2/') ;;
      esac
      offset=$(milliseconds "$(field at "$line")")
      first=${first:-$offset}
      printf '  %+6d ms  %s\n' $(((offset - first + 86400000) % 86400000)) "$(in_words "$line")"
    done <<<"$events"
    case $status in accepted | scheduled | dispatching | unknown) ;; *) break ;; esac
    left=$((left - 1))
    sleep 0.2
  done
  say "Its state: $status"
  say 'What the providers got (the sandbox plays them):'
  events=$(curl -sS --max-time 20 ${Sandbox__Key:+-u ":$Sandbox__Key"} "$SANDBOX/ledger?text=$id")
  while IFS= read -r line; do
    [ -z "$(field receivedAt "$line")" ] || say "  $(field provider "$line"): to $(field to "$line" | cut -c 1-24), $(field outcome "$line"), $(field providerMessageId "$line")"
  done <<<"${events//\{\"sequence\"/$'\n'}"
  say "Its event stream: curl -u $key $API/v1/notifications/$id/events"
  case $status in dispatched | delivered) ;; *) exit 1 ;; esac
}

# device WHAT JSON: registers one of the user's.
device() {
  ask POST "/v1/users/$user/devices" "$2" >/dev/null
  say "  POST /v1/users/$user/devices: $1"
}

# ask METHOD PATH [BODY] [CURL OPTIONS...]: calls the Api; stops on anything but success.
ask() {
  local method=$1 path=$2 body=${3:-} answer
  shift 2
  [ $# = 0 ] || shift
  answer=$(curl -sS --max-time 20 -u "$key" -X "$method" "$API$path" -w '\n%{http_code}' ${body:+-H 'Content-Type: application/json' --data "$body"} "$@") ||
    die "the Api does not answer at $API"
  case ${answer##*$'\n'} in 2??) printf '%s\n' "${answer%$'\n'*}" ;; *) die "$method $path: ${answer//$'\n'/ }" ;; esac
}
