package host

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is one of the kernel's, with the memory controller in it or not.
type hierarchy struct {
	kind  string   // of file system
	usual string   // where it is mounted, where /proc does not tell
	files []string // with limits, in each of its folders
}

// hierarchies are those of cgroups(7). Above memory.high the kernel slows a
// group down until its loops all but stand still: to the host it is as much of an
// end as memory.max.
var hierarchies = [...]hierarchy{ // never changed
	{"cgroup2", "sys/fs/cgroup", []string{"memory.max", "memory.high"}},
	{"cgroup", "sys/fs/cgroup/memory", []string{"memory.limit_in_bytes"}},
}

// groupLimit is the lowest limit of memory that holds for the process's control
// group, in bytes: its own or one above it; 0 = none. root is the file system's
// root. What can't be read there is no limit that anybody can know of.
func groupLimit(root fs.FS) uint64 {
	lowest := uint64(0)
	for _, h := range hierarchies {
		group, ok := h.group(root)
		if !ok {
			continue
		}
		for _, m := range h.mounts(root) {
			for _, folder := range m.folders(group) {
				for _, file := range h.files {
					if n := readLimit(root, path.Join(folder, file)); n > 0 && (lowest == 0 || n < lowest) {
						lowest = n
					}
				}
			}
		}
	}
	return lowest
}

// group is the process's group in the hierarchy: a path as the process's cgroup
// namespace has it.
func (h hierarchy) group(root fs.FS) (string, bool) {
	for line := range lines(root, "proc/self/cgroup") { // ID:CONTROLLERS:PATH
		part := strings.SplitN(line, ":", 3)
		if len(part) < 3 {
			continue
		}
		if h.kind == "cgroup2" && part[0] == "0" || h.kind == "cgroup" && hasWord(part[1], "memory") {
			return part[2], true
		}
	}
	return "", false
}

// mount is where a hierarchy, or a part of it, is mounted.
type mount struct {
	from string // the group that is its root, as the process's cgroup namespace has it
	at   string // relative to the file system's root
}

// mounts are the hierarchy's, after proc_pid_mountinfo(5), and where it usually is.
func (h hierarchy) mounts(root fs.FS) []mount {
	list := []mount{{"/", h.usual}}
	for line := range lines(root, "proc/self/mountinfo") {
		before, after, _ := strings.Cut(line, " - ") // ID PARENT DEVICE ROOT AT OPTIONS ... - KIND SOURCE OPTIONS
		about, what := strings.Fields(before), strings.Fields(after)
		if len(about) < 5 || len(what) < 3 || what[0] != h.kind {
			continue
		}
		if h.kind == "cgroup" && !hasWord(what[2], "memory") {
			continue
		}
		m := mount{unescape(about[3]), strings.TrimPrefix(unescape(about[4]), "/")}
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// folders are those of a group and of all above it, as far as they are mounted.
// A group that is not below the mount's root has the mount's own folder: in a
// container it is the container's.
func (m mount) folders(group string) []string {
	below, ok := strings.CutPrefix(path.Clean("/"+group), strings.TrimSuffix(path.Clean("/"+m.from), "/"))
	if !ok || below != "" && below[0] != '/' || hasWord(strings.ReplaceAll(m.from+"/"+group, "/", ","), "..") {
		below = ""
	}
	list := []string{path.Join(".", m.at)}
	for name := range strings.SplitSeq(strings.Trim(below, "/"), "/") {
		list = append(list, path.Join(list[len(list)-1], name))
	}
	return list
}

// readLimit is the number in a file; 0 where there is none.
func readLimit(root fs.FS, file string) uint64 {
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil { // max
		return 0
	}
	return n
}

// lines are a file's; none where it can't be read.
func lines(root fs.FS, file string) func(func(string) bool) {
	b, _ := fs.ReadFile(root, file)
	return func(yield func(string) bool) {
		for line := range strings.Lines(string(b)) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}

// hasWord tells whether a list with commas has a word.
func hasWord(list, word string) bool { return slices.Contains(strings.Split(list, ","), word) }

// unescape undoes what mountinfo does to blanks and backslashes in names.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
