package reactor

// kept keeps nothing back: there is no limit that is near.
type kept struct{}

func (*kept) has(int) bool { return false }
