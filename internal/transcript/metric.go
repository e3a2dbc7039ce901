package transcript

import "fmt"

// counted are the plugin's own metrics that count, of all runs: counters, and sums of
// histograms.
func (s *Server) counted() (map[string]float64, error) {
	info, err := s.h.Plugin(Name)
	counts := map[string]float64{}
	for _, m := range info.Metrics {
		if m.Kind != "gauge" {
			counts[m.Name] = m.Value
		}
	}
	return counts, err
}

// metric compares one of the plugin's own.
func (s *Server) metric(st step) error {
	s.Settle()
	info, err := s.h.Plugin(Name)
	if err != nil {
		return err
	}
	for _, m := range info.Metrics {
		if m.Name != string(st.data) {
			continue
		}
		if found := m.Value - s.before[m.Name]; found != st.want {
			return s.fail(st.line, fmt.Sprintf("metric %s: found %v, wanted %v", m.Name, found, st.want), "")
		}
		return nil
	}
	return s.fail(st.line, fmt.Sprintf("the guest has defined no metric %s", st.data), "")
}
