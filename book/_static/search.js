// Sphinx leaves "one" out of its index, as its stem "on" is a stop word, and yet looks for it: skip it in what is asked.
if (window.stopwords) window.stopwords.push("one", "ones");
