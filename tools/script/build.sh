# shellcheck shell=bash
# Building: only when sources are newer than what is built, and without a trace outside NOTIFY_HOME and the clone.

# All that .NET and NuGet would write into the user's home is kept under ours.
dotnet_environment() {
  command -v dotnet >/dev/null || { [ -x "${DOTNET_ROOT:-$HOME/.dotnet}/dotnet" ] && PATH=$PATH:${DOTNET_ROOT:-$HOME/.dotnet}; } ||
    die 'the .NET 10 SDK is missing; get it from https://dot.net/download, or with the package dotnet-sdk-10.0'
  local config=${HOME:-/}/.nuget/NuGet/NuGet.Config
  if [ -z "${DOTNET_CLI_HOME:-}" ] && [ -f "$config" ]; then
    mkdir -p "$HOME_DIR/dotnet/.nuget/NuGet" && cp "$config" "$HOME_DIR/dotnet/.nuget/NuGet/NuGet.Config"
  fi
  default DOTNET_CLI_HOME "$HOME_DIR/dotnet"
  default NUGET_PACKAGES "$HOME_DIR/nuget/packages"
  default NUGET_HTTP_CACHE_PATH "$HOME_DIR/nuget/http"
  default NUGET_PLUGINS_CACHE_PATH "$HOME_DIR/nuget/plugins"
  default NUGET_SCRATCH "$HOME_DIR/nuget/scratch"
  if [ -z "${XDG_DATA_HOME:-}" ]; then
    # NuGet notes here that it has nothing to migrate.
    export XDG_DATA_HOME=$HOME_DIR/dotnet/share
    mkdir -p "$XDG_DATA_HOME/NuGet/Migrations" && touch "$XDG_DATA_HOME/NuGet/Migrations/1"
  fi
  export TMPDIR=$HOME_DIR/tmp DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
  export DOTNET_ADD_GLOBAL_TOOLS_TO_PATH=false DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE=true MSBUILDDISABLENODEREUSE=1
  # Its diagnostics open a socket in TMPDIR, whose path may not be longer than some 100 characters.
  [ ${#TMPDIR} -le 60 ] || export DOTNET_EnableDiagnostics_IPC=0
}

sources() {
  (cd "$CLONE" && find . \( -name bin -o -name obj -o -name '.?*' -o -name docs \) -prune -o -type f \
    \( -name '*.cs' -o -name '*.csproj' -o -name '*.props' -o -name '*.targets' -o -name '*.sln' -o -name '*.sql' -o -name '*.txt' -o -name '*.html' -o -name '*.js' -o -name global.json \) "$@" -print)
}

# The stamp belongs to the clone, whose bin and obj it speaks of: when it was built, and from which files.
is_built() {
  local host
  [ -f "$STAMP" ] || return 1
  for host in $HOSTS tests bench; do [ -f "$(dll_of "$host")" ] || return 1; done
  [ -z "$(sources -newer "$STAMP" | head -n 1)" ] && [ "$(sources | sort | cksum)" = "$(sed -n 2p "$STAMP")" ]
}

build() {
  dotnet_environment
  STAMP=$CLONE/obj/built
  if is_built; then return 0; fi
  (cd "$CLONE" && dotnet --version) >/dev/null 2>&1 ||
    die 'the .NET 10 SDK is missing (dotnet is there, but not version 10); get it from https://dot.net/download, or with the package dotnet-sdk-10.0'
  need_disk "$CLONE" 2000
  if runs; then die 'the sources have changed, and Notify runs from the last build: ./notify down first'; fi
  say 'Building (the first time takes some minutes) ...' >&2
  mkdir -p "$CLONE/obj"
  { date +%s.%N-$$ && sources | sort | cksum; } >"$STAMP.new"
  (cd "$CLONE" && dotnet build NotifyCqrs.sln -c Release -v quiet -nologo -nodeReuse:false -p:UseSharedCompilation=false) >"$LOGS/build.log" 2>&1 </dev/null || {
    rm -f "$STAMP.new"
    grep -E '(error|MSB|NU)[A-Z0-9 ]*[0-9]+: ' "$LOGS/build.log" | sort -u | head -n 20 >&2 || tail -n 5 "$LOGS/build.log" >&2
    die "the build failed; all of it is in $LOGS/build.log"
  }
  mv "$STAMP.new" "$STAMP"
  rm -rf "${TMPDIR:?}"/*
}
