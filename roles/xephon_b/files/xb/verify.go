package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// counted is what a run leaves for verify: which points it counted, and where in time they lie.
type counted struct {
	Metric string `json:"metric"`
	First  int64  `json:"first"` // milliseconds since the epoch
	Last   int64  `json:"last"`
	Points int64  `json:"points"`
	Failed int64  `json:"failed"` // requests whose points may be there or not
}

func writeCounted(o Options, so counted) error {
	if o.Report == "" {
		return nil
	}
	text, err := json.Marshal(so)
	if err != nil {
		return err
	}
	return os.WriteFile(o.Report, append(text, '\n'), 0o644)
}

func ping(words []string, out io.Writer) error {
	f := flag.NewFlagSet("xb ping", flag.ContinueOnError)
	addr := f.String("addr", "http://127.0.0.1:8080", "where KairosDB is")
	if err := f.Parse(words); err != nil {
		return err
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(*addr + "/api/v1/health/check")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s is not healthy: %s", *addr, answer.Status)
	}
	fmt.Fprintf(out, "%s is healthy\n", *addr)
	return nil
}

// verify compares what a run counted with what KairosDB has, which takes points into a queue first.
func verify(words []string, out io.Writer) error {
	f := flag.NewFlagSet("xb verify", flag.ContinueOnError)
	addr := f.String("addr", "http://127.0.0.1:8080", "where KairosDB is")
	path := f.String("report", "", "the file that run wrote")
	patience := f.Duration("wait", 30*time.Second, "how long nothing may come before points count as missing")
	if err := f.Parse(words); err != nil {
		return err
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		return err
	}
	var so counted
	if err := json.Unmarshal(text, &so); err != nil {
		return fmt.Errorf("%s: %w", *path, err)
	}
	begin := time.Now()
	found, err := await(*addr, so, *patience)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "{\"pointsCounted\": %d, \"pointsReadBack\": %d}\n", so.Points, found)
	if found != so.Points {
		return fmt.Errorf("%s: counted %d points, read back %d (asked for %s, %s without a new one; %d requests had failed)",
			so.Metric, so.Points, found, time.Since(begin).Round(time.Second), *patience, so.Failed)
	}
	return nil
}

// await asks until all points are there, or no more of them come.
func await(addr string, so counted, patience time.Duration) (int64, error) {
	var last int64
	for end := time.Now().Add(patience); ; {
		begin := time.Now()
		found, err := count(addr, so)
		if err != nil || found >= so.Points {
			return found, err
		}
		if found > last {
			end = time.Now().Add(patience)
		} else if time.Now().After(end) {
			return found, nil
		}
		last = found
		time.Sleep(200*time.Millisecond + time.Since(begin)) // counting costs the database as much as points do
	}
}

// count asks for the number of points that the metric has in the time of the run.
func count(addr string, so counted) (int64, error) {
	question, err := json.Marshal(map[string]any{
		"start_absolute": so.First,
		"end_absolute":   so.Last,
		"cache_time":     0,
		"metrics": []any{map[string]any{
			"name":        so.Metric,
			"aggregators": []any{map[string]any{"name": "count", "sampling": map[string]any{"value": 1, "unit": "years"}}},
		}},
	})
	if err != nil {
		return 0, err
	}
	client := http.Client{Timeout: 60 * time.Second}
	answer, err := client.Post(addr+"/api/v1/datapoints/query", "application/json", bytes.NewReader(question))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return 0, fmt.Errorf("%s: %s: %s", addr, answer.Status, text)
	}
	var found struct {
		Queries []struct {
			Results []struct {
				Values [][2]json.Number `json:"values"`
			} `json:"results"`
		} `json:"queries"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return 0, err
	}
	if len(found.Queries) != 1 {
		return 0, errors.New("found an answer to another number of questions than one")
	}
	var sum int64
	for _, result := range found.Queries[0].Results {
		for _, value := range result.Values {
			number, err := value[1].Int64()
			if err != nil {
				return 0, err
			}
			sum += number
		}
	}
	return sum, nil
}
