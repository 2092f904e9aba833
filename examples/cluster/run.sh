#!/usr/bin/env bash
# A small cluster on one Linux machine, and all that synthprint does past one machine, in one command:
#     bash examples/cluster/run.sh [OUT] [CLIPS]
# Two network namespaces stand for two machines. Beside them run an object store (moto's S3) and a broker (Redis).
# The programs see nothing of the network outside, and all of them end with this script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-cluster-out} clips=${2:-200}

if [ -z "${SYNTHPRINT_CLUSTER:-}" ]; then
  for program in ip unshare nsenter redis-server; do
    command -v "$program" >/dev/null || { echo "$program is not installed (iproute2, util-linux, redis-server)" >&2; exit 2; }
  done
  rm -rf "$out"
  mkdir -p "$out"
  export SYNTHPRINT_CLUSTER=1
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc \
    bash "$here/run.sh" "$(cd "$out" && pwd)" "$clips"
fi

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
printed() { printf '\033[2m$ %s\033[0m\n' "${*//$out/OUT}"; }
show() { printed "$@"; "$@"; }
on() { local machine=$1; shift; nsenter --net="/run/netns/$machine" "$@"; }

store=10.77.0.1 a=10.77.0.2 b=10.77.0.3
export AWS_ENDPOINT_URL=http://$store:5000 AWS_ACCESS_KEY_ID=example AWS_SECRET_ACCESS_KEY=example AWS_DEFAULT_REGION=us-east-1
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | sha256sum | cut -d' ' -f1)
export OMP_NUM_THREADS=1 SYNTHPRINT_CACHE="$out/cache"
export SYNTHPRINT_CLUSTER_OUT=$out

network() {
  ip link set lo up
  ip link add machines type bridge
  ip addr add $store/24 dev machines
  ip link set machines up
  mount -t tmpfs tmpfs /run
  mkdir /run/netns
  local machine address
  for machine in a b; do
    address=${!machine}
    ip netns add $machine
    ip link add "to-$machine" type veth peer name eth0 netns $machine
    ip link set "to-$machine" master machines up
    on $machine ip link set lo up
    on $machine ip addr add "$address/24" dev eth0
    on $machine ip link set eth0 up
    on $machine ip route add default via $store
  done
}

node() {  # the Ray node of a machine
  local machine=$1; shift
  on "$machine" ray start --node-ip-address "${!machine}" --num-cpus 2 --object-store-memory 200000000 \
    --disable-usage-stats "$@" >"$out/ray-$machine.log" 2>&1
}

lost() {  # a machine goes: all of its processes are killed
  ip netns pids "$1" | xargs kill -KILL
}

broker() { redis-server --bind $store --port 6379 --protected-mode no --appendonly yes --dir "$out/broker" >>"$out/broker.log" 2>&1 & broker=$!; }

say "Two machines, a store and a broker."
network
mkdir -p "$out/broker"
python -m moto.server -H $store -p 5000 >"$out/store.log" 2>&1 &
broker
show python "$here/fill_store.py" "$clips"

say "1. Clips where they lie: one is traced from the bucket, as a file is."
show synthprint trace s3://clips/0000.flac

say "2. All of them on two machines, one of which is lost on the way."
node a --head --port 6380 --include-dashboard false --temp-dir "$out/ray"
node b --address $a:6380
show on a synthprint bulk trace s3://clips/ --out "$out/answers" --address $a:6380 --shard-clips 20 &
bulk=$!
until [ "$(find "$out/answers" -name '*.parquet' 2>/dev/null | wc -l)" -ge 1 ]; do sleep 0.2; kill -0 $bulk || break; done
say "   Machine b is lost, with $(ip netns pids b | wc -l) processes."
lost b
wait $bulk
node b --address $a:6380
show on a synthprint bulk trace s3://clips/ --out "$out/again" --address $a:6380 --shard-clips 20
show python "$here/same_answers.py" "$out/answers" "$out/again"
on a ray stop --force >/dev/null 2>&1 || true

say "3. Each clip as it comes: messages of a stream name them, and the broker is away for a while."
message() { redis-cli -h $store XADD clips '*' address "s3://clips/$(printf %04d "$1").flac" >/dev/null; }
tracing=(synthprint watch redis://$store:6379/0 --out "$out/watched" --every 2 --metrics-port 9100)
printed "${tracing[@]}"
"${tracing[@]}" &
watch=$!
for ((clip = 0; clip < clips / 2; clip++)); do message $clip; done
redis-cli -h $store SHUTDOWN
wait $broker || true
say "   The broker is away, and comes back."
sleep 2
broker
until redis-cli -h $store PING >/dev/null 2>&1; do sleep 0.1; done
for ((clip = clips / 2; clip < clips; clip++)); do message $clip; done
until [ "$(redis-cli -h $store XINFO GROUPS clips | grep -A1 '^lag' | tail -1)" = 0 ] &&
  [ "$(redis-cli -h $store XPENDING clips synthprint | head -1)" = 0 ]; do sleep 0.5; kill -0 $watch; done
python -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode())" | grep '^synthprint_watch_[a-z_]*\(total\|count\|clips\|seconds\|up\)\({.*}\)\? '
kill -TERM $watch
wait $watch
show python "$here/same_answers.py" "$out/answers" "$out/watched"

say "4. What changed between the bucket's answers and the stream's? Nothing; but hardly a clip is unknown, and validation
   expects a third: that is an alarm (status 1)."
show synthprint monitor "$out/watched" --reference "$out/answers" || [ $? -eq 1 ]

say "5. One training on both machines."
torchrun_on() {  # rank, machine
  on "$2" env GLOO_SOCKET_IFNAME=eth0 torchrun --nnodes 2 --node-rank "$1" --nproc-per-node 1 --master-addr $a \
    --master-port 29500 -m synthprint train demo --data "$here/../manifest.csv" --out "$out/run" --set schedule.epochs=2
}
torchrun_on 1 b >"$out/torchrun-b.log" 2>&1 &
show torchrun_on 0 a
wait $!

say "Done: answers in $out/answers, logs in $out/*.log."
