-- The ends of words that stemmers take away, for the beginnings of words while they are typed.
-- Found by a greedy cover of the vocabularies that Snowball publishes for its stemmers: few ends so
-- that, of any word there, each beginning and one of the ends have the stem of the word. Of Arabic
-- and Tamil there was none to read; Indonesian takes syllables away in front. They are JSON: a
-- database of another encoding than UTF8 has no room for all of these letters.

create or replace function pgpipe_internal.word_endings_1(stemmer text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case stemmer
        when 'armenian' then
            '["\u0581","\u056c","\u0576\u0568","\u0578\u0582\u0576\u0568","\u0582\u0574",'
            '"\u0575\u0578\u0582\u0576\u0568","\u0582\u0576\u0568","\u0580\u0578\u0582\u0574",'
            '"\u0565\u056c","\u0582","\u0561\u0576\u0576","\u0574","\u0562",'
            '"\u056f\u0561\u0576","\u0575\u0561\u0576","\u056e","\u0578\u0582","\u056b\u0561",'
            '"\u0584\u056b","\u0564\u056b","\u057d","\u0578\u0580","\u0565\u057d",'
            '"\u0578\u0580\u0564\u056b\u0581","\u0578\u0582\u0576\u0584\u056b",'
            '"\u0576\u0561\u056c\u056b\u057d","\u0582\u0576\u0584\u056b",'
            '"\u056b\u0576\u056b\u0576","\u0576\u0584\u056b","\u0581\u056b\u0576",'
            '"\u057f\u0561\u0576\u0578\u0582\u0574","\u0580\u0564\u056b\u0581","\u0561",'
            '"\u0561\u0576\u0561\u056c\u056b\u057d","\u0578\u057f","\u0578",'
            '"\u0561\u0580\u0561\u0576\u0576\u0565\u0580\u0576",'
            '"\u0561\u0575\u0576\u0565\u0581\u056b\u0576",'
            '"\u0575\u0576\u0565\u0581\u056b\u0576",'
            '"\u057f\u0561\u0576\u0561\u057e\u0565\u0580",'
            '"\u056e\u0584\u0576\u0565\u0580\u0578\u0582\u0574"]'
        when 'basque' then
            '["ra","ako","n","ekin","k","o","u","en","ile","in","a","ik","de","kin","eraren",'
            '"za","rren","oa","ko","roko","rua","unak","ua","gi","tu","tzi","ren","loia","ze",'
            '"tuz","ar","zi","rrekoa","rekoa"]'
        when 'catalan' then
            '["es","s","i\u00f3","\u00f3","ns","t","e","ues","ies","r","ent","nt","cia","u",'
            '"or","ar","tat","at","ormes","a","litat","itat","is","ri","car","ta","ic","c",'
            '"ria","sta","ilitat","rmes","mes","os","ori","i","x","iu","l"]'
        when 'danish' then
            '["e","ge","ig","ed","d","n","lse"]'
        when 'dutch' then
            '["g","den","n","re","en","eid","k","t","m","ijk","jk","l","ng","aar","s","e","f",'
            '"p","nde","b","c","zen"]' end
$$;
comment on function pgpipe_internal.word_endings_1(text) is
    'Ends of words for stemmers from armenian to dutch, as JSON.';

create or replace function pgpipe_internal.word_endings_2(stemmer text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case stemmer
        when 'english' then
            '["ng","g","ted","y","ing","s","n","ss","ess","d","us","le","ity","l","nt","ul",'
            '"ent","ty","lity","m","r","tion","ion","on","ve","tive","ive"]'
        when 'estonian' then
            '["a","e","s","d","us","i","ime","ks","ad","se","en","n","sid","\u00fca","ua","uda"'
            ']'
        when 'finnish' then
            '["a","ta","n","o","i","en","un","in","me","an","y","e","si","\u00e4n","\u00f6",'
            '"io","uaan","aisi","aessa","ie","ueen","ni","ui","ian","y\u00e4\u00e4n","\u00e4en"'
            ',"yyn","min","oi","\u00e4on","\u00e4yst\u00e4","ei","eyn","au","aon","\u00e4isi",'
            '"ja","ti"]'
        when 'french' then
            '["t","nt","ent","es","ns","ait","ons","rent","ion","ue","x","le","z","it\u00e9",'
            '"\u00e9","t\u00e9","tion","rs","s","ur","me","ment","lit\u00e9","ce","n","ice",'
            '"ez"]'
        when 'german' then
            '["g","ng","ch","h","t","eit","it","ich","en","n","ichkeit","chkeit","hkeit","keit"'
            ']'
        when 'greek' then
            '["\u03ac","\u03bd","\u03c4\u03b1\u03bd","\u03b1\u03b9","\u03b9","\u03c9\u03bd",'
            '"\u03b7\u03ba\u03b5","\u03c2","\u03ba\u03b5","\u03b5\u03c1\u03bf","\u03c5\u03bd",'
            '"\u03c1\u03bf","\u03b9\u03b1","\u03b1\u03c2","\u03b5","\u03c3\u03b1",'
            '"\u03b1\u03bd","\u03bd\u03c4\u03b1\u03b9","\u03c4\u03b1\u03b9","\u03ba\u03b9",'
            '"\u03ac\u03ba\u03b9","\u03c4\u03b1\u03c2","\u03c5","\u03c4\u03b5\u03c1",'
            '"\u03c3\u03bc\u03cc","\u03bc\u03cc"]'
        when 'hindi' then
            '["\u093e","\u0902","\u094b\u0902","\u0930","\u0947","\u092f\u094b\u0902",'
            '"\u0917\u093e"]'
        when 'hungarian' then
            '["k","a","l","t","al","z","oz","i","\u00e9nt","g","ek","yal","nt","pen","n","uk",'
            '"r","zal","sal","\u00fck"]' end
$$;
comment on function pgpipe_internal.word_endings_2(text) is
    'Ends of words for stemmers from english to hungarian, as JSON.';

create or replace function pgpipe_internal.word_endings_3(stemmer text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case stemmer
        when 'irish' then
            '["mh","h","amh","ar","mid","cht","ht","t","l","r","il","\u00ed","idh","dh","d",'
            '"id","adh","ocht"]'
        when 'italian' then
            '["o","e","te","i","nte","ente","ne","ione","one","do","sero","no","li","ile","be",'
            '"mo","ero","ro","nto","to","ice","\u00e0","ce","mente","ori","vi"]'
        when 'lithuanian' then
            '["s","i","mi","t","amas","kai","e","si","vis","ti","nt","iau","au","u","j\u0173",'
            '"is","\u0161t\u0117je","m","iuk\u0173","uk\u0173","\u0173si"]'
        when 'nepali' then
            '["\u094d\u092f\u094b","\u094b","\u0941\u0928\u0947\u091b","\u092f\u094b",'
            '"\u0928\u094d\u091b","\u091b","\u0947","\u094d\u091b","\u0930\u094d\u091b",'
            '"\u093e","\u0938\u094d","\u092f\u094c","\u094c","\u0915\u093e","\u093f","\u0917",'
            '"\u0901\u0917\u0948","\u0916\u093f\u0915\u094b","\u0924","\u094d\u092b\u0924",'
            '"\u092b\u0924","\u0935\u093e\u0930\u093e","\u093e\u0930\u093e","\u0930\u093e"]'
        when 'norwegian' then
            '["e","ig","g","et","t","va","n","oven","loven","s"]'
        when 'portuguese' then
            '["o","do","e","s","a","te","nte","\u00e3o","ente","el","es","ncia","cia","ia","l",'
            '"os","u","mos","iva","va","nto","to","eis","dade","ade","de","mente","lmente",'
            '"idade","ilidade","lidade","is","semos"]'
        when 'romanian' then
            '["e","i","r","ti","l","\u0103","re","il","s","or","se","d","iunii","unii","nii",'
            '"c\u0103","ate","tori","ei","te","v","are","m"]'
        when 'russian' then
            '["\u044c","\u043e","\u0435","\u0438\u0439","\u044f","\u0442","\u044e",'
            '"\u0441\u0442\u044c"]' end
$$;
comment on function pgpipe_internal.word_endings_3(text) is
    'Ends of words for stemmers from irish to russian, as JSON.';

create or replace function pgpipe_internal.word_endings_4(stemmer text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case stemmer
        when 'serbian' then
            '["a","m","em","i","t","n","u","o","e","ena","\u0107u","ma","ca","\u0161i","ima",'
            '"j","g","r","enje","nje","eg","jem","\u0107i","jeg","er","va","ta","enosti",'
            '"nosti","ka","enici","nici","mo","enike","nike","jer","eni\u010dki","ni\u010dki",'
            '"jena","erskoj","rskoj","jernih","ernih","rnih","jenata","enata","ev","nata"]'
        when 'spanish' then
            '["mos","as","n","e","os","s","ose","i\u00f3n","on","te","nte","se","dose","ente",'
            '"ia","ento","nto","to","le","ndose","ivos","vos","d","dad","ad","amos","idad",'
            '"lidad"]'
        when 'swedish' then
            '["e","g","de","r","igt","et","t","a","se","lse"]'
        when 'turkish' then
            '["a","e","r","n","ar\u0131","\u0131n","inin","na","se","i","\u015f","z","ne",'
            '"\u0131r","en","le","\u0131\u015f","\u0131na","ir","ar","i\u015f","r\u0131n","la",'
            '"unuz","ar\u0131n","er","ki","ce","u\u015f","rin","lar","d\u0131r","ur","erin",'
            '"ri","\u00fc\u015f","rler","rlar","\u00fcr","\u0131lar","ler","unu","iler",'
            '"r\u0131","\u00fc","\u00fcn\u00fc","ard\u0131r","rd\u0131r"]' end
$$;
comment on function pgpipe_internal.word_endings_4(text) is
    'Ends of words for stemmers from serbian to turkish, as JSON.';

create or replace function pgpipe_internal.word_endings_5(stemmer text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case stemmer
        when 'yiddish' then
            '["\u05e7\u05e2\u05e8","\u05d9\u05e7\u05e2","\u05d8","\u05e2",'
            '"\u05d2\u05e2\u05e0\u05e2\u05e8","\u05e0\u05d2\u05e2\u05e0\u05e2\u05dd","\u05df",'
            '"\u05e0\u05d3\u05d9\u05e7\u05df","\u05d3\u05d9\u05e7\u05e1","\u05e0\u05e2\u05e8",'
            '"\u05ea","\u05e2\u05e0\u05e2\u05dd","\u05f2\u05d8","\u05de\u05e2\u05df","\u05e1",'
            '"\u05d1\u05e2\u05e0\u05e2\u05e8","\u05b7\u05e4\u05bf\u05d8",'
            '"\u05b7\u05db\u05d8\u05e1","\u05e1\u05e2\u05e0\u05e2\u05dd",'
            '"\u05e2\u05e9\u05d8\u05e2\u05dc\u05d8\u05df","\u05e0\u05e2\u05e0\u05e2",'
            '"\u05e2\u05e4\u05bf\u05d0\u05b7\u05dc\u05e2\u05e0\u05e2\u05e8",'
            '"\u05e2\u05e7\u05d5\u05de\u05e2\u05df",'
            '"\u05e2\u05dc\u05d0\u05b8\u05e4\u05bf\u05df",'
            '"\u05e2\u05e4\u05bf\u05d0\u05b8\u05e8\u05e0\u05e1",'
            '"\u05e2\u05f0\u05d0\u05b8\u05e8\u05e4\u05bf\u05e2\u05e0\u05e2",'
            '"\u05e2\u05d6\u05e2\u05e6\u05d8\u05e2\u05e8",'
            '"\u05e2\u05e8\u05f2\u05d3\u05d8\u05e2\u05e8",'
            '"\u05e2\u05e4\u05bf\u05d9\u05e8\u05d8\u05e2","\u05e2\u05e8\u05d9\u05e1\u05df",'
            '"\u05e2\u05db\u05d0\u05b7\u05e4\u05bc\u05d8\u05e2",'
            '"\u05e2\u05d1\u05e8\u05e2\u05e0\u05d2\u05d8\u05df",'
            '"\u05e2\u05e6\u05f1\u05d2\u05df","\u05e0\u05d3\u05e2\u05e0\u05e2\u05e8",'
            '"\u05e2\u05de\u05d0\u05b7\u05db\u05d8\u05e2\u05e8",'
            '"\u05e2\u05e8\u05e2\u05d3\u05d8\u05e2\u05e8","\u05d3\u05e2\u05e0\u05e2\u05dd",'
            '"\u05e2\u05d1\u05e8\u05d0\u05b8\u05db\u05e2\u05e0\u05e2",'
            '"\u05e2\u05e4\u05bf\u05dc\u05f1\u05d2\u05e2\u05e0\u05e2\u05e8","\u05d8\u05df",'
            '"\u05e2\u05dc\u05d0\u05b8\u05d6\u05d8\u05e1",'
            '"\u05e2\u05d8\u05e8\u05d0\u05b8\u05d2\u05df",'
            '"\u05e2\u05f0\u05d0\u05b7\u05e7\u05e1\u05e2\u05e0\u05e2","\u05e0\u05d2",'
            '"\u05d0\u05b7\u05e4\u05bf\u05d8","\u05e2\u05dc\u05f2\u05d2\u05d8\u05e1",'
            '"\u05e2\u05e9\u05e8\u05d9\u05d1\u05e2\u05e0\u05e2\u05e8",'
            '"\u05e2\u05e9\u05e4\u05bc\u05d0\u05b7\u05e0\u05d8\u05df"]' end
$$;
comment on function pgpipe_internal.word_endings_5(text) is
    'Ends of words for stemmers from yiddish to yiddish, as JSON.';

create or replace function pgpipe_internal.word_endings(stemmer text)
    returns text[]  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select json_array_elements_text(coalesce(
               pgpipe_internal.word_endings_1(lower(stemmer)),
               pgpipe_internal.word_endings_2(lower(stemmer)),
               pgpipe_internal.word_endings_3(lower(stemmer)),
               pgpipe_internal.word_endings_4(lower(stemmer)),
               pgpipe_internal.word_endings_5(lower(stemmer)),
               '[]')::json))
$$;
comment on function pgpipe_internal.word_endings(text) is
    'Ends of words of a stemmer of Snowball. With the right one of them, a word that was typed in '
    'part has the stem of the whole. None for an unknown stemmer.';
