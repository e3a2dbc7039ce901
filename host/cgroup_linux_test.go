package host

import (
	"testing"
	"testing/fstest"
)

// TestGroupLimit: a unit's limit stands in the unit's own group, a container's in
// one above, and the lowest holds.
func TestGroupLimit(t *testing.T) {
	const (
		v2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		v1     = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
		hybrid = v1 + "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / " +
			"/sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		unit = "0::/system.slice/wirehost.service\n"
	)
	for name, c := range map[string]struct {
		group, mounts string
		files         map[string]string
		want          uint64
	}{
		"no groups": {"", "", nil, 0},
		"no limit": {unit, v2,
			map[string]string{"sys/fs/cgroup/system.slice/wirehost.service/memory.max": "max"}, 0},
		"of the unit": {unit, v2,
			map[string]string{"sys/fs/cgroup/system.slice/memory.max": "max",
				"sys/fs/cgroup/system.slice/wirehost.service/memory.max": "50"}, 50},
		"of the slice": {unit, v2,
			map[string]string{"sys/fs/cgroup/system.slice/memory.max": "40",
				"sys/fs/cgroup/system.slice/wirehost.service/memory.max": "50"}, 40},
		"of the root": {unit, v2,
			map[string]string{"sys/fs/cgroup/memory.max": "30", "sys/fs/cgroup/system.slice/memory.max": "40"}, 30},
		"high": {unit, v2,
			map[string]string{"sys/fs/cgroup/system.slice/wirehost.service/memory.max": "50",
				"sys/fs/cgroup/system.slice/wirehost.service/memory.high": "45"}, 45},
		"of another unit": {unit, v2,
			map[string]string{"sys/fs/cgroup/system.slice/other.service/memory.max": "10",
				"sys/fs/cgroup/user.slice/memory.max": "11"}, 0},
		"in its own group": {"0::/\n", v2, map[string]string{"sys/fs/cgroup/memory.max": "60"}, 60},
		"the mount is hidden": {unit, "",
			map[string]string{"sys/fs/cgroup/system.slice/wirehost.service/memory.max": "50"}, 50},
		"mounted elsewhere": {unit, `30 23 0:26 / /my\040groups rw - cgroup2 none rw` + "\n",
			map[string]string{"my groups/system.slice/wirehost.service/memory.max": "50"}, 50},
		"a part is mounted": {"0::/kube/pod/box\n", "30 23 0:26 /kube/pod /sys/fs/cgroup rw - cgroup2 none rw\n",
			map[string]string{"sys/fs/cgroup/memory.max": "80", "sys/fs/cgroup/box/memory.max": "70"}, 70},
		"moved out of its container": {"0::/../other\n", v2,
			map[string]string{"sys/fs/cgroup/memory.max": "80", "sys/fs/cgroup/other/memory.max": "9"}, 80},
		"mounted from outside": {"0::/\n", "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 none rw\n",
			map[string]string{"sys/fs/cgroup/memory.max": "80"}, 80},
		"a name that begins alike": {"0::/kube/pod2\n", "30 23 0:26 /kube/pod /sys/fs/cgroup rw - cgroup2 none rw\n",
			map[string]string{"sys/fs/cgroup/memory.max": "80", "sys/fs/cgroup/2/memory.max": "9"}, 80},
		"a colon in its name": {"0::/a:b\n", v2, map[string]string{"sys/fs/cgroup/a:b/memory.max": "50"}, 50},
		"version 1": {"4:cpu,cpuacct:/x\n5:memory:/box/in\n", v1,
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
				"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "70",
				"sys/fs/cgroup/memory/x/memory.limit_in_bytes":   "9"}, 70},
		"version 1 in a container": {"5:memory:/docker/4fa\n",
			"35 31 0:32 /docker/4fa /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "70"}, 70},
		"both versions": {"4:memory:/a\n1:name=systemd:/c\n0::/b\n", hybrid,
			map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "70",
				"sys/fs/cgroup/unified/b/memory.max": "90", "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "9"}, 70},
		"not what is wanted": {"nonsense\n0::\n\n", "nonsense - cgroup2\n - \n30 23 0:26 / /a rw - cgroup2\n",
			map[string]string{"a/memory.max": "-1", "sys/fs/cgroup/memory.max": "80"}, 80},
	} {
		files := fstest.MapFS{"proc/self/cgroup": {Data: []byte(c.group)},
			"proc/self/mountinfo": {Data: []byte(c.mounts)}}
		for file, text := range c.files {
			files[file] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
		if got := groupLimit(files); got != c.want {
			t.Errorf("%s: found %d, wanted %d", name, got, c.want)
		}
	}
}
