# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it, never run. What they share: where things are, one line of progress per phase, and how a build
# directory is set up. Sets `root` (the checkout), `cache` (outside it; may vanish at any time) and goes to the root.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-$root/build}/.cache}/unship
jobs=$(nproc)
# Debian's own programs first: what tests start (python3, git) is then what a fresh machine has, and not some wrapper of this one.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
cd "$root" || exit 1

die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# Files of the project, new ones too: what git knows and does not ignore; without git, all but what a build makes.
project_files() {
	if [ -e .git ]; then
		git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
			[ ! -f "$file" ] || echo "$file"
		done
	else
		find . -type f -not -path './build*' -not -path '*/node_modules/*' | sed 's,^\./,,' | LC_ALL=C sort | filter_names "$@"
	fi
}

# Keeps the names that match one of the patterns; all of them when there is none.
filter_names() {
	local name pattern
	while read -r name; do
		[ $# -gt 0 ] || echo "$name"
		for pattern in "$@"; do
			# shellcheck disable=SC2053 # the right side is a pattern
			if [[ $name == $pattern || $name == $pattern/* ]]; then
				echo "$name"
				break
			fi
		done
	done
}

# phase NAME LOG COMMAND...: runs it with its output in LOG and says in one line how it went; shows the log's end when it failed.
phase() {
	local name=$1 log=$2 start=$SECONDS
	shift 2
	mkdir -p "$(dirname "$log")"
	if "$@" >"$log" 2>&1 </dev/null; then
		printf '%-12s ok  %3d s\n' "$name" $((SECONDS - start))
	else
		printf '%-12s FAILED after %d s; the end of %s:\n' "$name" $((SECONDS - start)) "$log"
		tail -n 40 "$log" | sed 's/^/    /'
		return 1
	fi
}

# configure DIR SOURCE OPTION...: a Meson build directory with exactly these options. One that was made otherwise (other options,
# another compiler, a checkout that has moved) is made anew; one that fits costs nothing.
configure() {
	local dir=$1 source=$2 stamp
	shift 2
	stamp="$source $* CC=${CC:-} CFLAGS=${CFLAGS:-} LDFLAGS=${LDFLAGS:-} $(meson --version) $(${CC:-cc} --version | sed -n 1p)"
	if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/configured-as" 2>/dev/null)" = "$stamp" ]; then
		return 0
	fi
	rm -rf "$dir"
	mkdir -p "$(dirname "$dir")"
	meson setup "$dir" "$source" "$@"
	echo "$stamp" >"$dir/configured-as"
}

# The two builds inside the checkout.
configure_release() {
	configure "$root/build/release" "$root" --buildtype=release -Dtests=false -Dfailpoints=false
}
configure_debug() {
	configure "$root/build/debug" "$root" --buildtype=debugoptimized -Dtests=true -Dfailpoints=true
}

compile() {
	ninja -C "$1" -j "$jobs" --quiet
}
